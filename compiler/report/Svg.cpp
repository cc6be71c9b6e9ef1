// SPDX-License-Identifier: Apache-2.0

#include "compiler/report/Svg.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/JSON.h"

#include <algorithm>
#include <cmath>

using namespace mlir::rt3;

// Okabe and Ito's colours, which colour-blind people can tell apart (2008).
static constexpr const char *kColors[] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#444444"};

static constexpr double kWidth = 640, kHeight = 360, kLeft = 62, kRight = 20, kTop = 34, kBottom = 76;
static constexpr int kTicks = 5;

std::string mlir::rt3::escapeHtml(llvm::StringRef text) {
  std::string result;
  for (char c : llvm::json::fixUTF8(text))
    switch (c) {
    case '&':
      result += "&amp;";
      break;
    case '<':
      result += "&lt;";
      break;
    case '>':
      result += "&gt;";
      break;
    case '"':
      result += "&quot;";
      break;
    case '\'':
      result += "&#39;";
      break;
    default:
      if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
        result += llvm::formatv("\\x{0:x-2}", int(c)).str();
      else
        result += c;
    }
  return result;
}

namespace {

// Round numbers that cover a range.
struct Axis {
  double low = 0, high = 1, step = 1;

  Axis(double least, double most) {
    if (!(most > least)) {
      double half = std::max(1e-9, std::abs(least) * 0.05);
      least -= half;
      most += half;
    }
    double raw = (most - least) / kTicks, power = std::pow(10, std::floor(std::log10(raw)));
    for (double factor : {10.0, 5.0, 2.0, 1.0})
      if (factor * power >= raw)
        step = factor * power;
    low = std::floor(least / step + 1e-9) * step;
    high = std::ceil(most / step - 1e-9) * step;
  }
  // Counted, because steps of huge numbers may add nothing.
  std::vector<double> ticks() const {
    std::vector<double> result;
    int count = int(std::clamp((high - low) / step + 0.5, 0.0, 3.0 * kTicks));
    for (int i = 0; i <= count; ++i)
      result.push_back(low + i * step);
    return result;
  }
  double share(double value) const { return (value - low) / (high - low); }
};

std::string numberText(double value, double step) {
  int digits = std::clamp(int(std::ceil(-std::log10(step) - 1e-9)), 0, 9);
  char text[32];
  bool isHuge = std::abs(value) >= 1e9;
  snprintf(text, sizeof text, isHuge ? "%.*g" : "%.*f", isHuge ? 6 : digits, std::abs(value) < step / 1e6 ? 0 : value);
  return text;
}

} // namespace

std::string mlir::rt3::svgChart(const Chart &chart) {
  std::vector<double> xs, ys;
  for (const ChartSeries &series : chart.series)
    for (const ChartPoint &point : series.points)
      if (std::isfinite(point.x) && std::isfinite(point.y)) {
        xs.push_back(point.x);
        ys.push_back(point.y);
      }
  if (chart.limit)
    xs.push_back(*chart.limit);
  if (xs.empty() || ys.empty())
    return "<p>Nothing to show.</p>\n";
  Axis x(*std::min_element(xs.begin(), xs.end()), *std::max_element(xs.begin(), xs.end()));
  Axis y(*std::min_element(ys.begin(), ys.end()), *std::max_element(ys.begin(), ys.end()));
  double innerWidth = kWidth - kLeft - kRight, innerHeight = kHeight - kTop - kBottom;
  auto atX = [&](double value) { return kLeft + innerWidth * x.share(value); };
  auto atY = [&](double value) { return kTop + innerHeight * (1 - y.share(value)); };
  std::string svg;
  llvm::raw_string_ostream out(svg);
  out << llvm::formatv("<svg viewBox=\"0 0 {0} {1}\" role=\"img\" aria-label=\"{2}\">\n", kWidth, kHeight,
                       escapeHtml(chart.title));
  out << llvm::formatv("<text x=\"{0:f1}\" y=\"18\" class=\"title\">{1}</text>\n", kLeft, escapeHtml(chart.title));
  for (double value : x.ticks())
    out << llvm::formatv("<path class=\"grid\" d=\"M{0:f1} {1:f1}V{2:f1}\"/><text x=\"{0:f1}\" y=\"{3:f1}\" "
                         "text-anchor=\"middle\">{4}</text>\n",
                         atX(value), kTop, kTop + innerHeight, kTop + innerHeight + 14, numberText(value, x.step));
  for (double value : y.ticks())
    out << llvm::formatv("<path class=\"grid\" d=\"M{0:f1} {1:f1}H{2:f1}\"/><text x=\"{3:f1}\" y=\"{4:f1}\" "
                         "text-anchor=\"end\">{5}</text>\n",
                         kLeft, atY(value), kLeft + innerWidth, kLeft - 5, atY(value) + 4, numberText(value, y.step));
  out << llvm::formatv("<text x=\"{0:f1}\" y=\"{1:f1}\" text-anchor=\"middle\">{2}</text>\n", kLeft + innerWidth / 2,
                       kTop + innerHeight + 30, escapeHtml(chart.xTitle));
  out << llvm::formatv("<text transform=\"translate(14 {0:f1}) rotate(-90)\" text-anchor=\"middle\">{1}</text>\n",
                       kTop + innerHeight / 2, escapeHtml(chart.yTitle));
  if (chart.limit)
    out << llvm::formatv("<path class=\"limit\" d=\"M{0:f1} {1:f1}V{2:f1}\"/><text x=\"{3:f1}\" y=\"{4:f1}\" "
                         "text-anchor=\"end\">{5}</text>\n",
                         atX(*chart.limit), kTop, kTop + innerHeight, atX(*chart.limit) - 4, kTop + 12,
                         escapeHtml(chart.limitName));
  double legendX = kLeft, legendY = kHeight - 26;
  for (auto [i, series] : llvm::enumerate(chart.series)) {
    const char *color = kColors[i % std::size(kColors)];
    if (series.isLine) {
      out << "<path fill=\"none\" stroke-width=\"2\" stroke=\"" << color << "\" d=\"";
      bool isFirst = true;
      for (const ChartPoint &point : series.points)
        if (std::isfinite(point.x) && std::isfinite(point.y)) {
          out << llvm::formatv("{0}{1:f1} {2:f1}", isFirst ? "M" : "L", atX(point.x), atY(point.y));
          isFirst = false;
        }
      out << "\"><title>" << escapeHtml(series.name) << "</title></path>\n";
    } else {
      for (const ChartPoint &point : series.points)
        if (std::isfinite(point.x) && std::isfinite(point.y))
          out << llvm::formatv(
              "<circle cx=\"{0:f1}\" cy=\"{1:f1}\" r=\"{2}\" fill=\"{3}\"{4}><title>{5}</title></circle>\n",
              atX(point.x), atY(point.y), series.isStrong ? 6 : 3, color,
              series.isStrong ? " stroke=\"#000\" stroke-width=\"1.5\"" : " fill-opacity=\"0.6\"",
              escapeHtml(point.label));
    }
    double width = 24 + 6.4 * series.name.size();
    if (legendX + width > kWidth - 4) {
      legendX = kLeft;
      legendY += 16;
    }
    out << llvm::formatv("<rect x=\"{0:f1}\" y=\"{1:f1}\" width=\"12\" height=\"{2}\" fill=\"{3}\"/><text x=\"{4:f1}\" "
                         "y=\"{5:f1}\">{6}</text>\n",
                         legendX, series.isLine ? legendY - 6 : legendY - 10, series.isLine ? 3 : 12, color,
                         legendX + 16, legendY, escapeHtml(series.name));
    legendX += width;
  }
  out << "</svg>\n";
  return svg;
}

std::string mlir::rt3::standaloneSvg(const Chart &chart) {
  llvm::StringRef svg = "<svg ";
  std::string text = svgChart(chart);
  if (!llvm::StringRef(text).starts_with(svg))
    return text;
  size_t end = text.find('>') + 1;
  return "<svg xmlns=\"http://www.w3.org/2000/svg\" " + text.substr(svg.size(), end - svg.size()) +
         "\n<style>text { font: 11px sans-serif; fill: #333; } .title { font-weight: 600; font-size: 13px; } "
         ".grid { stroke: #e3e3e8; } .limit { stroke: #b00020; stroke-dasharray: 5 4; }</style>\n"
         "<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>" +
         text.substr(end);
}

std::string mlir::rt3::svgPattern(uint64_t pattern, int64_t rows, int64_t columns) {
  constexpr int64_t kCell = 7;
  std::string svg =
      llvm::formatv("<svg class=\"pattern\" width=\"{0}\" height=\"{1}\" viewBox=\"0 0 {0} {1}\" role=\"img\" "
                    "aria-label=\"pattern\">",
                    kCell * columns + 1, kCell * rows + 1);
  for (int64_t c = 0; c < columns; ++c)
    for (int64_t r = 0; r < rows; ++r)
      svg += llvm::formatv("<rect x=\"{0}\" y=\"{1}\" width=\"{2}\" height=\"{2}\" class=\"{3}\"/>", kCell * c + 1,
                           kCell * r + 1, kCell - 1, pattern >> (c * rows + r) & 1 ? "kept" : "gone");
  return svg + "</svg>";
}
