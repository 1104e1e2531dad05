// `tally`: how many bytes of values each key has sent so far, as ASCII decimal, under the same key, with timestamp and
// headers as they came. A tombstone has no bytes and is passed on; a record without a key is rejected.
//
// This is an operator against the bare contract: wit/ for the calls, wit/FRAME.md for the bytes, and the canonical ABI of
// the component model for how the two meet in a core module. It needs no library and no runtime, only clang and wasm-ld.

#include <stddef.h>
#include <stdint.h>

// The world this module implements, as `wit/world.wit` says it; the host makes a component of it.
__asm__(".section \".custom_section.component-type:weir\",\"\",@\n"
        ".incbin \"operator-packed.component-type\"\n");

#define EXPORT(name) __attribute__((export_name(name)))
#define NULL_LENGTH 0xFFFFFFFFu
#define PAGE 65536u
enum { FRAME_HEADER = 8, RECORD_HEADER = 24, UPDATE_HEADER = 13, DIGITS = 20 };
enum { NO_KEY = 100, MALFORMED = 101, STATE = 102 };
enum { OP_SET = 1, OP_REJECT = 3 };

__attribute__((import_module("weir:operator/output@0.1.0"), import_name("emit")))
void emit(uint32_t output, const uint8_t *frame, uint32_t frame_len);

// ---- Memory: an arena that lasts from the arguments of one call to its result --------------------------------------

extern uint8_t __heap_base;
static uint8_t *top;
static int call_is_over = 1;

// The next bytes of the arena, at a multiple of 8; the host has a limit on memory, and traps there.
static void *take(uint32_t len) {
  if (call_is_over || top == NULL) {
    top = (uint8_t *)(((uintptr_t)&__heap_base + 7) & ~(uintptr_t)7);
    call_is_over = 0;
  }
  uint8_t *out = top;
  uintptr_t have = (uintptr_t)__builtin_wasm_memory_size(0) * PAGE;
  uint64_t end = ((uint64_t)(uintptr_t)out + len + 7) & ~(uint64_t)7;
  if (end > UINT32_MAX) __builtin_trap();
  if (end > have) {
    // In large steps, so that growing is rare.
    uint64_t pages = (end - have + PAGE - 1) / PAGE + 15;
    if (__builtin_wasm_memory_grow(0, pages) == (size_t)-1) __builtin_trap();
  }
  top = (uint8_t *)(uintptr_t)end;
  return out;
}

// Called by the host to place arguments.
EXPORT("cabi_realloc")
void *cabi_realloc(void *old, uint32_t old_len, uint32_t align, uint32_t len) {
  (void)align;
  void *out = take(len);
  if (old_len) __builtin_memcpy(out, old, old_len < len ? old_len : len);
  return out;
}

// ---- Numbers in bytes: little endian, as wasm itself -----------------------------------------------------------------

static uint32_t u32_at(const uint8_t *p) { uint32_t v; __builtin_memcpy(&v, p, 4); return v; }
static uint64_t u64_at(const uint8_t *p) { uint64_t v; __builtin_memcpy(&v, p, 8); return v; }
static void put_u32(uint8_t *p, uint32_t v) { __builtin_memcpy(p, &v, 4); }
static uint32_t stored(uint32_t len) { return len == NULL_LENGTH ? 0 : len; }

// Writes `v` as decimal; returns how many digits.
static uint32_t put_decimal(uint8_t *p, uint64_t v) {
  uint8_t digits[DIGITS];
  uint32_t n = 0;
  do { digits[n++] = '0' + v % 10; v /= 10; } while (v);
  for (uint32_t i = 0; i < n; i++) p[i] = digits[n - 1 - i];
  return n;
}

// ---- What the calls return -------------------------------------------------------------------------------------------

struct bytes { const void *at; uint32_t len; };

// result<list<u8>, failure>; result<_, failure> is the same without `ok`.
struct result {
  uint32_t is_err;
  union {
    struct bytes ok;
    struct { uint32_t has_index, index, code; struct bytes message; } err;
  };
};

static struct result result;
static struct bytes text;

static struct result *fail(uint32_t index, uint32_t code, const char *message, uint32_t len) {
  call_is_over = 1;
  result = (struct result){ .is_err = 1, .err = { 1, index, code, { message, len } } };
  return &result;
}
#define FAIL(index, code, message) fail(index, code, message, sizeof(message) - 1)

EXPORT("weir:operator/plugin@0.1.0#describe")
struct bytes *describe(void) {
  static const char json[] = "{\"name\":\"tally\",\"version\":\"0.1.0\","
                             "\"tables\":[{\"name\":\"bytes\",\"kind\":\"value\",\"schema\":\"u64\"}]}";
  text = (struct bytes){ json, sizeof(json) - 1 };
  return &text;
}

EXPORT("weir:operator/operator@0.1.0#open")
struct result *open(const char *task, uint32_t task_len, const char *config, uint32_t config_len) {
  (void)task; (void)task_len; (void)config; (void)config_len;
  call_is_over = 1;
  result = (struct result){ .is_err = 0 };
  return &result;
}

static const char no_key[] = "record has no key, and a tally is kept by key";
enum { REASON = sizeof(no_key) - 1 };

// ---- The operator ----------------------------------------------------------------------------------------------------

struct tally { uint64_t bytes; uint32_t changed; };

// Reads the values: one table, so one for each slot. Returns how many, or NULL_LENGTH if one is not 8 bytes.
static uint32_t load(const uint8_t *values, uint32_t len, struct tally *tallies) {
  uint32_t slots = 0;
  for (uint32_t at = 0; at + 4 <= len; slots++) {
    uint32_t value_len = u32_at(values + at);
    at += 4;
    if (value_len != NULL_LENGTH && (value_len != 8 || len - at < 8)) return NULL_LENGTH;
    tallies[slots] = (struct tally){ value_len == 8 ? u64_at(values + at) : 0, 0 };
    at += stored(value_len);
  }
  return slots;
}

static uint8_t *put_update(uint8_t *to, uint8_t op, uint32_t table, uint32_t slot, const void *bytes, uint32_t len) {
  to[0] = op;
  put_u32(to + 1, table);
  put_u32(to + 5, slot);
  put_u32(to + 9, len);
  __builtin_memcpy(to + UPDATE_HEADER, bytes, len);
  return to + UPDATE_HEADER + len;
}

// Appends what is changed in the state at `to`, the end of the updates so far.
static struct bytes updates_of(const struct tally *tallies, uint32_t slots, uint8_t *updates, uint8_t *to) {
  for (uint32_t slot = 0; slot < slots; slot++) {
    if (tallies[slot].changed) to = put_update(to, OP_SET, 0, slot, &tallies[slot].bytes, 8);
  }
  return (struct bytes){ updates, (uint32_t)(to - updates) };
}

EXPORT("weir:operator/operator@0.1.0#process")
struct result *process(uint32_t input, const uint8_t *in, uint32_t in_len, const uint32_t *slots, uint32_t slots_len,
                       const uint8_t *values, uint32_t values_len) {
  (void)input;
  if (in_len < FRAME_HEADER || in[0] != 1 || slots_len != u32_at(in + 4)) return FAIL(0, MALFORMED, "unknown frame");
  struct tally *tallies = take((values_len / 4 + 1) * sizeof(struct tally));
  uint32_t slot_count = load(values, values_len, tallies);
  if (slot_count == NULL_LENGTH) return FAIL(0, STATE, "a stored tally is not 8 bytes long");

  // A record out is at most as long as the record in, and its digits.
  uint8_t *out = take(in_len + slots_len * DIGITS), *to = out + FRAME_HEADER;
  uint8_t *updates = take(slots_len * (UPDATE_HEADER + REASON) + slot_count * (UPDATE_HEADER + 8)), *rejects = updates;
  uint32_t rejected = 0;
  __builtin_memcpy(out, in, FRAME_HEADER);
  const uint8_t *from = in + FRAME_HEADER, *end = in + in_len;
  for (uint32_t i = 0; i < slots_len; i++) {
    if (end - from < RECORD_HEADER) return FAIL(i, MALFORMED, "frame ends inside a record");
    uint32_t key = stored(u32_at(from + 12)), value_len = u32_at(from + 16), value = stored(value_len);
    uint32_t headers = u32_at(from + 20);
    if ((uint64_t)key + value + headers > (uint64_t)(end - from - RECORD_HEADER))
      return FAIL(i, MALFORMED, "frame ends inside a record");
    if (slots[i] >= slot_count) {
      // Nothing is done for it yet, so nothing must be undone: the others go on.
      rejects = put_update(rejects, OP_REJECT, NO_KEY, i, no_key, REASON);
      rejected++;
      from += RECORD_HEADER + key + stored(value_len) + headers;
      continue;
    }
    struct tally *tally = &tallies[slots[i]];
    __builtin_memcpy(to, from, RECORD_HEADER + key);
    uint8_t *header = to;
    to += RECORD_HEADER + key;
    if (value_len != NULL_LENGTH) {
      tally->bytes += value;
      tally->changed = 1;
      uint32_t digits = put_decimal(to, tally->bytes);
      put_u32(header + 16, digits);
      to += digits;
    }
    from += RECORD_HEADER + key + value;
    __builtin_memcpy(to, from, headers);
    to += headers;
    from += headers;
  }
  put_u32(out + 4, slots_len - rejected);
  emit(0, out, (uint32_t)(to - out));
  result = (struct result){ .is_err = 0, .ok = updates_of(tallies, slot_count, updates, rejects) };
  call_is_over = 1;
  return &result;
}
