import type { Duplex } from 'node:stream';
import type pg from 'pg';

/** Receives the rows of a COPY. */
export interface RowSink {
  /** One row, whose fields stand in `bytes` from `offset` on; they hold only until the call returns. */
  row(bytes: Buffer, offset: number): void;
  /** Called after each row: true when the sink wants `flush` before it takes more. */
  readonly isFull: boolean;
  flush(): Promise<void>;
}

const SIGNATURE_BYTES = 19;
/** A message: its type, its length without the type, its body. */
const HEADER_BYTES = 5;
const [COPY_DATA, READY_FOR_QUERY] = [0x64, 0x5a];
const NOTHING: Buffer = Buffer.alloc(0);

type Listener = (chunk: Buffer) => void;

/**
 * One `COPY … TO STDOUT (FORMAT binary)` as the client's current query.
 *
 * O1. While the sink flushes, the socket is paused, and what was read already waits.
 * O2. Messages of rows are read from the socket's chunks where they are: the client's parser would make three objects of each. All others are
 *     its, and it has the socket again with the last one, which says that the server is ready.
 */
export class CopyOut implements pg.Submittable {
  /** Rejects with the server's error, the connection's, or what the sink throws. */
  readonly done: Promise<void>;
  readonly #text: string;
  readonly #sink: RowSink;
  readonly #settled = Promise.withResolvers<void>();
  #theirs: Listener[] = [];
  /** What of the socket's bytes is not read yet begins at `#at`. */
  #chunk = NOTHING;
  #at = 0;
  #headRead = false;
  #progressed = false;
  #flushing = false;
  #flushed: Promise<void> = Promise.resolve();
  #failure: unknown;

  constructor(text: string, sink: RowSink) {
    this.#text = text;
    this.#sink = sink;
    this.done = this.#settled.promise;
    this.done.catch(() => undefined); // whoever cares awaits it
  }

  /** Whether anything has come since the last call. */
  takeProgress(): boolean {
    const progressed = this.#progressed || this.#flushing;
    this.#progressed = false;
    return progressed;
  }

  submit(connection: pg.Connection): void {
    const { stream } = connection;
    // Whoever may send a query has read the answer to the one before: the next byte begins a message.
    this.#theirs = stream.listeners('data') as Listener[];
    const ours = (chunk: Buffer): void => {
      this.#progressed = true;
      const rest = this.#chunk.length - this.#at;
      this.#chunk = rest === 0 ? chunk : Buffer.concat([this.#chunk.subarray(this.#at), chunk]);
      this.#at = 0;
      if (!this.#flushing) this.#read(stream, ours);
    };
    stream.removeAllListeners('data');
    stream.on('data', ours);
    connection.query(this.#text);
  }

  handleCommandComplete(): void {}

  handleReadyForQuery(): void {
    void this.#finish();
  }

  handleError(error: Error): void {
    this.#failure ??= error;
    void this.#finish();
  }

  /** All whole messages that are there, up to the first row after which the sink is full. */
  #read(stream: Duplex, ours: Listener): void {
    const chunk = this.#chunk;
    while (chunk.length - this.#at >= HEADER_BYTES) {
      const from = this.#at;
      const to = from + 1 + chunk.readUInt32BE(from + 1);
      if (to > chunk.length) return;
      const type = chunk[from];
      this.#at = to;
      if (type === COPY_DATA) {
        if (this.#failure === undefined) this.#take(chunk, from + HEADER_BYTES, to, stream);
        if (this.#failure !== undefined || !this.#sink.isFull) continue;
        this.#flushed = this.#flush(stream, ours); // O1
        return;
      }
      if (type === READY_FOR_QUERY) {
        stream.removeListener('data', ours);
        for (const listener of this.#theirs) stream.on('data', listener);
        this.#at = chunk.length;
      }
      for (const listener of this.#theirs) listener(chunk.subarray(from, this.#at)); // O2
    }
  }

  #take(chunk: Buffer, from: number, to: number, stream: Duplex): void {
    let at = from;
    if (!this.#headRead) {
      this.#headRead = true;
      at += SIGNATURE_BYTES + chunk.readInt32BE(from + 15);
    }
    if (at >= to || chunk.readInt16BE(at) < 0) return; // the trailer
    try {
      this.#sink.row(chunk, at + 2);
    } catch (error) {
      this.#fail(error, stream);
    }
  }

  async #flush(stream: Duplex, ours: Listener): Promise<void> {
    this.#flushing = true;
    stream.pause(); // O1
    try {
      await this.#sink.flush();
    } catch (error) {
      this.#fail(error, stream);
    }
    this.#flushing = false;
    this.#read(stream, ours);
    if (!this.#flushing) stream.resume(); // also when all is read: the connection goes on to its next query
  }

  /** There is no other way to end a COPY early on its own connection. */
  #fail(error: unknown, stream: Duplex): void {
    this.#failure ??= error;
    stream.destroy();
  }

  async #finish(): Promise<void> {
    await this.#flushed; // a connection may be lost meanwhile: what has begun hands nothing on after the end
    try {
      if (this.#failure === undefined) await this.#sink.flush();
    } catch (error) {
      this.#failure = error;
    }
    if (this.#failure === undefined) this.#settled.resolve();
    else this.#settled.reject(this.#failure);
  }
}
