/** More slots than this a table cannot have: the index keeps a slot in 24 bits. */
export const MAX_SLOTS = 2 ** 24 - 1;
/** Up to so many bytes, growth copies; from there on, address space is reserved, which takes 0.1 ms a column. */
const COPIED_BYTES = 65_536;
/** A column grows by no more slots than this: spare slots count as bytes per task. */
const LARGEST_STEP = 8_192;

/** A typed array with an entry, or some, for each slot. */
export type Column =
  | Float64Array<ArrayBuffer>
  | Int32Array<ArrayBuffer>
  | Uint32Array<ArrayBuffer>
  | Uint16Array<ArrayBuffer>
  | Uint8Array<ArrayBuffer>;

/** A column with room for `capacity` slots, all 0. A big one reserves address space for `most` slots. */
export function newColumn<C extends Column>(
  type: new (buffer: ArrayBuffer) => C,
  bytesPerSlot: number,
  capacity: number,
  most = MAX_SLOTS,
): C {
  return new type(
    bytesPerSlot * capacity > COPIED_BYTES
      ? new ArrayBuffer(bytesPerSlot * capacity, { maxByteLength: bytesPerSlot * most })
      : new ArrayBuffer(bytesPerSlot * capacity),
  );
}

/**
 * The column with room for `capacity` slots; what is new is 0. A big one grows in place: its memory is taken within address space
 * that was reserved for `most` slots, nothing is copied, and its views follow.
 */
export function grownColumn<C extends Column>(column: C, bytesPerSlot: number, capacity: number, most = MAX_SLOTS): C {
  if (column.buffer.resizable && bytesPerSlot * capacity <= column.buffer.maxByteLength) {
    column.buffer.resize(bytesPerSlot * capacity);
    return column;
  }
  const bigger = newColumn(
    column.constructor as new (buffer: ArrayBuffer) => C,
    bytesPerSlot,
    capacity,
    Math.max(most, capacity),
  );
  bigger.set(column);
  return bigger;
}

/** The capacity to grow to when `wanted` slots are needed. */
export function grownCapacity(capacity: number, wanted: number): number {
  if (wanted > MAX_SLOTS) throw new RangeError(`${wanted} slots: a table has at most ${MAX_SLOTS}`);
  const step = Math.min(LARGEST_STEP, Math.max(64, capacity >>> 3));
  return Math.min(MAX_SLOTS, Math.max(wanted, capacity + step));
}
