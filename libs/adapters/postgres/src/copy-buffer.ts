/** Bytes of one CopyData message, about: large enough to be rare, small enough to be written in a moment. */
const CHUNK_BYTES = 64 * 1024;
/** 'd' and the message's length. */
const FRAME_BYTES = 5;
const SIGNATURE = Buffer.from('PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0', 'latin1');

const NIBBLES = new Uint8Array(128);
for (let digit = 0; digit < 16; digit++) {
  NIBBLES[digit.toString(16).charCodeAt(0)] = digit;
  NIBBLES[digit.toString(16).toUpperCase().charCodeAt(0)] = digit;
}

/**
 * Rows in Postgres's binary COPY format, in CopyData messages that are handed on as they fill.
 *
 * B1. `#at` is at most `#chunk.length`; the first `FRAME_BYTES` are the message's head, filled in when it is handed on.
 * B2. A chunk that was handed on is never written to again.
 */
export class CopyBuffer {
  readonly #write: (chunk: Buffer) => void;
  #chunk: Buffer = Buffer.allocUnsafe(CHUNK_BYTES);
  #at = FRAME_BYTES;

  constructor(write: (chunk: Buffer) => void) {
    this.#write = write;
    this.#raw(SIGNATURE);
  }

  /** Begins a row of so many fields. */
  row(fields: number): void {
    if (this.#at >= CHUNK_BYTES - 1_024) this.#handOn(CHUNK_BYTES);
    this.#ensure(2);
    this.#chunk[this.#at++] = fields >>> 8;
    this.#chunk[this.#at++] = fields;
  }

  null(): void {
    this.#ensure(4);
    this.#int32(-1);
  }

  int2(value: number): void {
    this.#ensure(6);
    this.#int32(2);
    this.#chunk[this.#at++] = value >>> 8;
    this.#chunk[this.#at++] = value;
  }

  int4(value: number): void {
    this.#ensure(8);
    this.#int32(4);
    this.#int32(value);
  }

  /** A safe integer. */
  int8(value: number): void {
    this.#ensure(12);
    this.#int32(8);
    this.#int32(Math.floor(value / 4_294_967_296));
    this.#int32(value >>> 0);
  }

  int8OrNull(value: number | undefined): void {
    if (value === undefined) this.null();
    else this.int8(value);
  }

  /** From 32 hex digits. */
  uuid(hex: string): void {
    this.#ensure(20);
    this.#int32(16);
    const chunk = this.#chunk;
    let at = this.#at;
    for (let i = 0; i < 32; i += 2) {
      chunk[at++] = ((NIBBLES[hex.charCodeAt(i)] as number) << 4) | (NIBBLES[hex.charCodeAt(i + 1)] as number);
    }
    this.#at = at;
  }

  /** Four unsigned 32-bit numbers as one uuid: 16 bytes without a head. */
  words(words: readonly [number, number, number, number]): void {
    this.#ensure(20);
    this.#int32(16);
    for (let i = 0; i < 4; i++) this.#int32(words[i] as number);
  }

  /** One ASCII character, for the type "char". */
  char(value: string): void {
    this.#ensure(5);
    this.#int32(1);
    this.#chunk[this.#at++] = value.charCodeAt(0);
  }

  text(value: string): void {
    // One UTF-16 unit is at most three bytes of UTF-8.
    this.#ensure(4 + value.length * 3);
    const head = this.#at;
    const bytes = this.#chunk.write(value, head + 4, 'utf8');
    this.#int32(bytes);
    this.#at = head + 4 + bytes;
  }

  textOrNull(value: string | undefined): void {
    if (value === undefined) this.null();
    else this.text(value);
  }

  bytes(value: Uint8Array): void {
    this.#ensure(4 + value.length);
    this.#int32(value.length);
    this.#raw(value);
  }

  /** The format's trailer; nothing may follow. */
  end(): void {
    this.#ensure(2);
    this.#chunk[this.#at++] = 0xff;
    this.#chunk[this.#at++] = 0xff;
    this.#handOn(0);
  }

  #int32(value: number): void {
    const chunk = this.#chunk;
    let at = this.#at;
    chunk[at++] = value >>> 24;
    chunk[at++] = value >>> 16;
    chunk[at++] = value >>> 8;
    chunk[at++] = value;
    this.#at = at;
  }

  #raw(bytes: Uint8Array): void {
    this.#chunk.set(bytes, this.#at);
    this.#at += bytes.length;
  }

  #ensure(bytes: number): void {
    if (this.#at + bytes > this.#chunk.length) this.#handOn(Math.max(CHUNK_BYTES, FRAME_BYTES + bytes)); // B1
  }

  /** CopyData messages may end anywhere, also within a field. */
  #handOn(nextBytes: number): void {
    const end = this.#at;
    this.#at = 0;
    this.#chunk[this.#at++] = 0x64;
    this.#int32(end - 1);
    this.#write(this.#chunk.subarray(0, end));
    this.#chunk = Buffer.allocUnsafe(nextBytes); // B2
    this.#at = FRAME_BYTES;
  }
}
