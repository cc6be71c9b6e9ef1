// SPDX-License-Identifier: Apache-2.0
//
// Which level to run at. Slower is urgent, faster is not: a switch down waits a moment, one
// up waits longer and needs a margin, so that a reading at a threshold does not make levels
// swing.

#include "rt3/rt3_policy.h"

// What sensors can show.
enum { kColdest = -60000, kHottest = 200000, kMostKhz = 20000000 };

rt3_policy_options_t rt3_policy_default_options(uint32_t level_count, const uint32_t *frequency_khz) {
  rt3_policy_options_t options = {0};
  options.level_count = level_count;
  for (uint32_t i = 0; i < level_count && i < RT3_POLICY_MAX_LEVELS; ++i) {
    options.frequency_khz[i] = frequency_khz ? frequency_khz[i] : 0;
    options.battery_percent[i] = (int32_t)(100 * i / level_count);
  }
  options.hot_mc = 70000;
  options.step_mc = 10000;
  options.battery_margin_percent = 3;
  options.temperature_margin_mc = 5000;
  options.min_faster_ms = 5000;
  options.min_slower_ms = 200;
  return options;
}

// A clock, a battery and a temperature that can be.
static int is_cap(int32_t khz) { return khz > 0 && khz <= kMostKhz; }
static int is_battery(int32_t percent) { return percent >= 0 && percent <= 100; }
static int is_temperature(int32_t mc) { return mc > kColdest && mc < kHottest; }

rt3_status_t rt3_policy_init(rt3_policy_t *policy, const rt3_policy_options_t *options) {
  if (!policy || !options || options->level_count == 0 || options->level_count > RT3_POLICY_MAX_LEVELS ||
      !is_battery(options->battery_margin_percent) || options->temperature_margin_mc < 0 ||
      options->temperature_margin_mc >= kHottest)
    return RT3_INVALID_ARGUMENT;
  if (options->hot_mc != 0 &&
      (!is_temperature(options->hot_mc) || options->step_mc <= 0 || options->step_mc >= kHottest))
    return RT3_INVALID_ARGUMENT;
  uint32_t fastest = 0;
  for (uint32_t i = 0; i < options->level_count; ++i) {
    if (options->frequency_khz[i] != 0 && options->frequency_khz[i] < fastest)
      return RT3_INVALID_ARGUMENT;
    if (options->frequency_khz[i] > kMostKhz || !is_battery(options->battery_percent[i]) ||
        (i > 0 && options->battery_percent[i] < options->battery_percent[i - 1]))
      return RT3_INVALID_ARGUMENT;
    fastest = options->frequency_khz[i] != 0 ? options->frequency_khz[i] : fastest;
  }
  policy->options = *options;
  policy->level = options->level_count - 1;
  policy->last_switch_ms = 0;
  policy->switches = 0;
  policy->has_stepped = 0;
  policy->last = rt3_policy_no_reading();
  return RT3_OK;
}

// The fastest level that all sources allow, by what each has last said, with `margin` times their
// margins to spare. Sources that have never said anything want what is.
static uint32_t allowed(const rt3_policy_t *policy, int32_t margin) {
  const rt3_policy_options_t *o = &policy->options;
  const rt3_policy_reading_t *reading = &policy->last;
  int is_known = 0;
  uint32_t level = o->level_count - 1;
  if (is_cap(reading->cap_khz)) {
    is_known = 1;
    while (level > 0 && o->frequency_khz[level] > (uint32_t)reading->cap_khz)
      --level;
  }
  if (is_battery(reading->battery_percent)) {
    is_known = 1;
    while (level > 0 && reading->battery_percent < o->battery_percent[level] + margin * o->battery_margin_percent)
      --level;
  }
  if (o->hot_mc != 0 && is_temperature(reading->temperature_mc)) {
    is_known = 1;
    int32_t over = reading->temperature_mc + margin * o->temperature_margin_mc - o->hot_mc;
    uint32_t steps = over < 0 ? 0 : 1 + (uint32_t)(over / o->step_mc);
    uint32_t coolest = steps >= o->level_count ? 0 : o->level_count - 1 - steps;
    if (coolest < level)
      level = coolest;
  }
  return is_known ? level : policy->level;
}

uint32_t rt3_policy_step(rt3_policy_t *policy, const rt3_policy_reading_t *reading, uint64_t now_ms) {
  const rt3_policy_options_t *o = &policy->options;
  if (is_cap(reading->cap_khz))
    policy->last.cap_khz = reading->cap_khz;
  if (is_battery(reading->battery_percent))
    policy->last.battery_percent = reading->battery_percent;
  if (is_temperature(reading->temperature_mc))
    policy->last.temperature_mc = reading->temperature_mc;
  uint32_t wanted = policy->level;
  if (reading->manual_level >= 0 && (uint32_t)reading->manual_level < o->level_count) {
    wanted = (uint32_t)reading->manual_level;
  } else {
    uint32_t now = allowed(policy, 0), with_margin = allowed(policy, 1);
    // The first readings are no change.
    if (now < policy->level || !policy->has_stepped)
      wanted = now;
    else if (with_margin > policy->level)
      wanted = with_margin;
  }
  int is_first = !policy->has_stepped;
  policy->has_stepped = 1;
  if (wanted == policy->level)
    return policy->level;
  uint64_t passed = now_ms > policy->last_switch_ms ? now_ms - policy->last_switch_ms : 0;
  uint32_t least = wanted > policy->level ? o->min_faster_ms : o->min_slower_ms;
  if (!is_first && policy->switches > 0 && passed < least)
    return policy->level;
  policy->level = wanted;
  ++policy->switches;
  if (now_ms > policy->last_switch_ms)
    policy->last_switch_ms = now_ms;
  return policy->level;
}

// A number or `-`; leaves `*text` behind it. Returns 0 for anything else.
static int read_number(const char **text, int64_t least, int64_t most, int64_t *out) {
  const char *at = *text;
  while (*at == ' ' || *at == '\t')
    ++at;
  int is_negative = *at == '-';
  at += is_negative;
  if (*at < '0' || *at > '9') {
    *text = at;
    *out = RT3_POLICY_UNKNOWN;
    return is_negative && (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r' || *at == 0);
  }
  int64_t number = 0;
  for (; *at >= '0' && *at <= '9'; ++at)
    if (number <= most)
      number = 10 * number + (*at - '0');
  *text = at;
  *out = is_negative ? -number : number;
  return *out >= least && *out <= most && (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r' || *at == 0);
}

const char *rt3_policy_read_trace(const char *text, uint64_t *out_ms, rt3_policy_reading_t *reading, int *ok) {
  *reading = rt3_policy_no_reading();
  *ok = 1;
  for (;;) {
    while (*text == ' ' || *text == '\t' || *text == '\r' || *text == '\n')
      ++text;
    if (*text != '#')
      break;
    while (*text && *text != '\n')
      ++text;
  }
  if (!*text)
    return NULL;
  int64_t ms = 0, cap = 0, battery = 0, temperature = 0;
  *ok = read_number(&text, 0, INT64_C(1) << 53, &ms) && ms >= 0 && read_number(&text, 0, INT32_MAX, &cap) &&
        read_number(&text, 0, INT32_MAX, &battery) && read_number(&text, -INT32_MAX, INT32_MAX, &temperature);
  while (*text == ' ' || *text == '\t' || *text == '\r')
    ++text;
  if (*text && *text != '\n')
    *ok = 0;
  while (*text && *text != '\n')
    ++text;
  if (*ok) {
    *out_ms = (uint64_t)ms;
    reading->cap_khz = (int32_t)cap;
    reading->battery_percent = (int32_t)battery;
    reading->temperature_mc = (int32_t)temperature;
  }
  return text;
}
