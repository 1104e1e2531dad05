;; A guest by hand, against the bare contract. The `input` of a call says how it behaves; the first byte of its
;; configuration says what `open` does: f fails, t traps.
(module
  (import "weir:operator/output@0.1.0" "emit" (func $emit (param i32 i32 i32)))
  (import "weir:operator/log@0.1.0" "log" (func $log (param i32 i32 i32)))
  (import "weir:operator/state@0.1.0" "scan" (func $scan (param i32 i32 i32 i32 i32 i32)))
  (import "weir:operator/state@0.1.0" "get-many" (func $get_many (param i32 i32 i32 i32)))
  (memory (export "memory") 2)
  (global $next (mut i32) (i32.const 65536))
  (global $calls (mut i32) (i32.const 0))
  (data (i32.const 4096) "bad record")
  (data (i32.const 4112) "boom, at src/lib.rs:3:5")
  (data (i32.const 8192) "DESCRIPTION")

  (func (export "cabi_realloc") (param $old i32) (param $old_len i32) (param $align i32) (param $len i32) (result i32)
    (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
    (global.set $next (i32.add (local.get $at) (local.get $len)))
    (block $enough
      (loop $more
        (br_if $enough (i32.le_u (global.get $next) (i32.shl (memory.size) (i32.const 16))))
        (drop (memory.grow (i32.const 16)))
        (br $more)))
    (local.get $at))

  (func (export "weir:operator/plugin@0.1.0#describe") (result i32)
    (i32.store (i32.const 0) (i32.const 8192))
    (i32.store (i32.const 4) (i32.const LENGTH))
    (i32.const 0))

  (func $failure (result i32)
    (i32.store8 (i32.const 0) (i32.const 1))
    (i32.store8 (i32.const 4) (i32.const 1))
    (i32.store (i32.const 8) (i32.const 1))
    (i32.store (i32.const 12) (i32.const 107))
    (i32.store (i32.const 16) (i32.const 4096))
    (i32.store (i32.const 20) (i32.const 10))
    (i32.const 0))

  (func $updates (param $at i32) (param $len i32) (result i32)
    (i32.store8 (i32.const 0) (i32.const 0))
    (i32.store (i32.const 4) (local.get $at))
    (i32.store (i32.const 8) (local.get $len))
    (global.set $next (i32.const 65536))
    (i32.const 0))

  (func (export "weir:operator/operator@0.1.0#open") (param i32 i32) (param $config i32) (param i32) (result i32)
    (if (i32.eq (i32.load8_u (local.get $config)) (i32.const 0x66)) (then (return (call $failure))))
    (if (i32.eq (i32.load8_u (local.get $config)) (i32.const 0x74)) (then unreachable))
    (i32.store8 (i32.const 0) (i32.const 0))
    (i32.const 0))

  (func $recurse (param i32) (result i32)
    (i32.add (i32.const 1) (call $recurse (i32.add (local.get 0) (i32.const 1)))))

  (func $process (export "weir:operator/operator@0.1.0#process")
    (param $input i32) (param $batch i32) (param $batch_len i32) (param $slots i32) (param $slots_len i32)
    (param $values i32) (param $values_len i32) (result i32)
    (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
    (block $get (block $scanned (block $keyed (block $flood (block $deep (block $count (block $elsewhere (block $malformed (block $grow
    (block $spin (block $panic (block $fail (block $echo
      (br_table $echo $fail $panic $spin $grow $malformed $elsewhere $count $deep $flood $keyed $scanned $get
        (local.get $input)))
      ;; 0: what comes in goes out
      (call $emit (i32.const 0) (local.get $batch) (local.get $batch_len))
      (return (call $updates (i32.const 0) (i32.const 0))))
      ;; 1: an output, an error for the log, and a failure
      (call $emit (i32.const 0) (local.get $batch) (local.get $batch_len))
      (call $log (i32.const 4) (i32.const 4096) (i32.const 10))
      (return (call $failure)))
      ;; 2: what a panic does
      (call $emit (i32.const 0) (local.get $batch) (local.get $batch_len))
      (call $log (i32.const 5) (i32.const 4112) (i32.const 23))
      unreachable)
      ;; 3: never comes back
      (loop $forever (br $forever)) unreachable)
      ;; 4: 1 GiB more
      (drop (memory.grow (i32.const 16384))) (return (call $updates (i32.const 0) (i32.const 0))))
      ;; 5: a frame without its last byte
      (call $emit (i32.const 0) (local.get $batch) (i32.sub (local.get $batch_len) (i32.const 1)))
      (return (call $updates (i32.const 0) (i32.const 0))))
      ;; 6: an output that it does not have
      (call $emit (i32.const 2) (local.get $batch) (local.get $batch_len))
      (return (call $updates (i32.const 0) (i32.const 0))))
      ;; 7: how many calls this instance has seen
      (i32.store (i32.const 32) (global.get $calls))
      (return (call $updates (i32.const 32) (i32.const 4))))
      ;; 8: its stack overflows
      (return (call $updates (i32.const 0) (call $recurse (i32.const 0)))))
      ;; 9: output without end
      (loop $again (call $emit (i32.const 1) (local.get $batch) (local.get $batch_len)) (br $again)) unreachable)
      ;; 10: slots, as bytes, right behind values
    (memory.copy (i32.const 32) (local.get $values) (local.get $values_len))
    (memory.copy (i32.add (i32.const 32) (local.get $values_len)) (local.get $slots)
      (i32.shl (local.get $slots_len) (i32.const 2)))
    (return (call $updates (i32.const 32)
      (i32.add (local.get $values_len) (i32.shl (local.get $slots_len) (i32.const 2))))))
      ;; 11: two entries of the first slot in table 1, from what the values say on
      (call $scan (i32.const 1) (i32.load (local.get $slots)) (local.get $values) (local.get $values_len) (i32.const 2)
        (i32.const 32))
      (return (call $updates (i32.load (i32.const 32)) (i32.load (i32.const 36)))))
    ;; 12: the entries of table 1 that the values name
    (call $get_many (i32.const 1) (local.get $values) (local.get $values_len) (i32.const 32))
    (call $updates (i32.load (i32.const 32)) (i32.load (i32.const 36)))))
