import { crc32 } from 'node:zlib';

import type { Column } from './columns.ts';

/**
 * A table of timers as buffers, one for each column, the first of which tells the lengths and checksums of the others. What wrote them to a
 * file reads them back into buffers of the same lengths; they are in the byte order of the machine.
 */
export type TimerSnapshot = readonly ArrayBuffer[];

/**
 * `truncated`: buffers, or ends of them, are missing; `version`: of another format than this program's; `damaged`: bytes are not what was
 * written, or name slots and chunks that are not there; `resolution`: of a wheel with other ticks.
 */
export type SnapshotErrorCode = 'truncated' | 'version' | 'damaged' | 'resolution';

/** A snapshot that cannot be loaded. Its message names the column. */
export class SnapshotError extends Error {
  override readonly name = 'SnapshotError';
  readonly code: SnapshotErrorCode;

  constructor(code: SnapshotErrorCode, message: string) {
    super(`snapshot of timers: ${message}`);
    this.code = code;
  }
}

const FORMAT = 0x3454_4c42;
const VERSION = 2;
/** Words of the header: format, version, number of columns, length and checksum of each, and the checksum of all these. */
const FIRST_LENGTH = 3;
const HEADER_WORDS = FIRST_LENGTH + 1;

/**
 * Copies columns into buffers, which are as long as the columns and grow as the columns' own do. Those of `into`, an earlier result
 * that nobody needs any more, are written over where they fit: to copy costs a small part of what new memory costs.
 */
export function encodeColumns(columns: readonly Column[], into: TimerSnapshot = []): TimerSnapshot {
  const header = new Uint32Array(HEADER_WORDS + columns.length * 2);
  header.set([FORMAT, VERSION, columns.length]);
  const buffers = columns.map((column, at) => {
    const source = new Uint8Array(column.buffer, column.byteOffset, column.byteLength);
    const buffer = bufferFor(column, into[at + 1]);
    const bytes = new Uint8Array(buffer);
    bytes.set(source);
    header[FIRST_LENGTH + at * 2] = source.length;
    header[FIRST_LENGTH + at * 2 + 1] = crc32(bytes);
    return buffer;
  });
  header[header.length - 1] = checksumOf(header);
  return [header.buffer, ...buffers];
}

function bufferFor({ buffer: source, byteLength }: Column, earlier: ArrayBuffer | undefined): ArrayBuffer {
  const maxByteLength = source.resizable ? source.maxByteLength : undefined;
  if (earlier !== undefined && !earlier.detached && earlier.resizable === source.resizable) {
    if (earlier.byteLength === byteLength) return earlier;
    if (earlier.maxByteLength === maxByteLength) {
      earlier.resize(byteLength);
      return earlier;
    }
  }
  return maxByteLength === undefined ? new ArrayBuffer(byteLength) : new ArrayBuffer(byteLength, { maxByteLength });
}

/**
 * Gives back, one after the other, the columns that `encodeColumns` was given: their buffers are transferred, nothing is copied, and
 * whoever had them finds them detached. All of it throws `SnapshotError`: the constructor where buffers are missing or of another version,
 * and leaves them alone then.
 */
export class ColumnReader {
  readonly #header: Uint32Array;
  readonly #buffers: readonly ArrayBuffer[];
  #index = 0;

  constructor(snapshot: TimerSnapshot) {
    this.#header = headerOf(snapshot);
    const buffers = snapshot.slice(1);
    for (const [at, { byteLength }] of buffers.entries()) {
      const length = this.#header[FIRST_LENGTH + at * 2] as number;
      if (byteLength < length)
        throw new SnapshotError('truncated', `column ${at} has ${byteLength} bytes of ${length}`);
    }
    // `ArrayBuffer.transfer` copies a buffer that can grow; this moves it.
    this.#buffers = structuredClone(buffers, { transfer: buffers });
  }

  /** Bytes of the next column; 0 after the last. */
  get byteLength(): number {
    return this.#buffers[this.#index]?.byteLength ?? 0;
  }

  /** The next column itself, which must have so many bytes. */
  take<C extends Column>(name: string, type: new (buffer: ArrayBuffer) => C, byteLength: number): C {
    const at = this.#index++;
    const buffer = this.#buffers[at];
    if (buffer === undefined) throw new SnapshotError('damaged', `${name} is not there`);
    const checksum = this.#header[FIRST_LENGTH + at * 2 + 1];
    assertSound(crc32(new Uint8Array(buffer)) === checksum, `the checksum of ${name} is wrong`);
    assertSound(buffer.byteLength === byteLength, `${name} has ${buffer.byteLength} bytes instead of ${byteLength}`);
    return new type(buffer);
  }

  /** Copies the next column over another of the same length. */
  into(name: string, column: Column): void {
    const source = this.take(name, Uint8Array<ArrayBuffer>, column.byteLength);
    new Uint8Array(column.buffer, column.byteOffset, column.byteLength).set(source);
  }
}

/** @throws SnapshotError */
function headerOf(snapshot: TimerSnapshot): Uint32Array {
  const [first, ...buffers] = snapshot;
  if (first === undefined || first.byteLength < HEADER_WORDS * 4 || first.byteLength % 4 !== 0)
    throw new SnapshotError('truncated', `a header of ${first?.byteLength ?? 0} bytes`);
  const header = new Uint32Array(first);
  const [format, version, count] = header as unknown as readonly [number, number, number];
  assertSound(format === FORMAT, 'the header does not begin as one');
  if (version !== VERSION)
    throw new SnapshotError('version', `version ${version}, this program reads version ${VERSION}`);
  const isWhole = header.length === HEADER_WORDS + count * 2 && header[header.length - 1] === checksumOf(header);
  assertSound(isWhole, 'the checksum of the header is wrong');
  if (buffers.length !== count) throw new SnapshotError('truncated', `${buffers.length} columns of ${count}`);
  return header;
}

function checksumOf(header: Uint32Array<ArrayBuffer>): number {
  return crc32(new Uint8Array(header.buffer, 0, header.byteLength - 4));
}

/** @throws SnapshotError that the snapshot is damaged, if `holds` is not true */
export function assertSound(holds: boolean, what: string): asserts holds {
  if (!holds) throw new SnapshotError('damaged', what);
}
