import type { Column } from './columns.ts';

const FORMAT = 0x3454_4c42;
const HEADER_BYTES = 8;
/** Columns begin at multiples of this. */
const ALIGNMENT = 8;
const SPARE = 1.125;

/**
 * Columns one after the other as bytes: how many there are and how long each is comes first. They are written over `into`, an earlier
 * result that nobody needs any more, where its memory is large enough: to copy costs a small part of what new memory costs.
 */
export function encodeColumns(columns: readonly Column[], into?: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const header = Uint32Array.of(FORMAT, columns.length, ...columns.map(({ byteLength }) => byteLength));
  const parts = [header, ...columns];
  const length = parts.reduce((sum, { byteLength }) => sum + aligned(byteLength), 0);
  const bytes = new Uint8Array(memoryFor(length, into), 0, length);
  let at = 0;
  for (const { buffer: source, byteOffset, byteLength } of parts) {
    bytes.set(new Uint8Array(source, byteOffset, byteLength), at);
    const end = at + aligned(byteLength);
    bytes.fill(0, at + byteLength, end);
    at = end;
  }
  return bytes;
}

/** New memory is not set to 0, as all of it is written; an eighth is spare, for the next snapshot, and not taken until then. */
function memoryFor(length: number, into?: Uint8Array<ArrayBuffer>): ArrayBuffer {
  if (into !== undefined && into.buffer.byteLength >= length) return into.buffer;
  return Buffer.allocUnsafeSlow(Math.ceil(length * SPARE)).buffer;
}

/** Gives back, one after the other, the columns that `encodeColumns` was given. Throws `RangeError` for bytes that are not whole. */
export class ColumnReader {
  readonly #bytes: Uint8Array<ArrayBuffer>;
  readonly #lengths: Uint32Array;
  #index = 0;
  #at: number;

  constructor(bytes: Uint8Array<ArrayBuffer>) {
    check(bytes.byteLength >= HEADER_BYTES);
    const [format, count = 0] = new Uint32Array(bytes.slice(0, HEADER_BYTES).buffer);
    const headerEnd = HEADER_BYTES + count * 4;
    check(format === FORMAT && bytes.byteLength >= headerEnd);
    this.#bytes = bytes;
    this.#lengths = new Uint32Array(bytes.slice(HEADER_BYTES, headerEnd).buffer);
    this.#at = aligned(headerEnd);
    check(bytes.byteLength === this.#lengths.reduce((sum, length) => sum + aligned(length), this.#at));
  }

  /** Bytes of the next column. */
  get byteLength(): number {
    check(this.#index < this.#lengths.length);
    return this.#lengths[this.#index] as number;
  }

  /** Copies the next column to the beginning of another, which must have room for it. */
  into(column: Column): void {
    const { byteLength } = this;
    check(byteLength <= column.byteLength);
    const source = this.#bytes.subarray(this.#at, this.#at + byteLength);
    new Uint8Array(column.buffer, column.byteOffset, column.byteLength).set(source);
    this.#at += aligned(byteLength);
    this.#index++;
  }
}

function aligned(bytes: number): number {
  return Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
}

function check(holds: boolean): void {
  if (!holds) throw new RangeError('these bytes are not a whole snapshot of timers');
}
