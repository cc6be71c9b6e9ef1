// SPDX-License-Identifier: Apache-2.0
//
// Charts as inline SVG.

#ifndef RT3_COMPILER_REPORT_SVG_H
#define RT3_COMPILER_REPORT_SVG_H

#include "llvm/ADT/StringRef.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace mlir::rt3 {

// Text inside HTML or SVG: nothing in it is markup, control bytes are visible.
std::string escapeHtml(llvm::StringRef text);

struct ChartPoint {
  double x, y;
  std::string label; // Shown by the browser when pointed at.
};

struct ChartSeries {
  std::string name;
  std::vector<ChartPoint> points;
  bool isLine = false;   // Else dots.
  bool isStrong = false; // Larger dots, with a rim.
};

struct Chart {
  std::string title, xTitle, yTitle;
  std::vector<ChartSeries> series;
  std::optional<double> limit; // A dashed line at this x.
  std::string limitName;
};

// An <svg> element of 640 x 360 units with axes, legend and a text for whom it is read to.
// Points that are not finite are left out.
std::string svgChart(const Chart &chart);

// The same as a file of its own.
std::string standaloneSvg(const Chart &chart);

// A pattern of rows x columns, bit c * rows + r, as a small picture.
std::string svgPattern(uint64_t pattern, int64_t rows, int64_t columns);

} // namespace mlir::rt3

#endif // RT3_COMPILER_REPORT_SVG_H
