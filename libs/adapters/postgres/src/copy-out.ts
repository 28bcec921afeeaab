import type pg from 'pg';

import type { CopyConnection } from './copy-in.ts';

/** Receives the rows of a COPY. */
export interface RowSink {
  /** One row: `fields` places the fields in `bytes`, which holds only until the call returns. */
  row(bytes: Buffer, offset: number): void;
  /** Called after each row: true when the sink wants `flush` before it takes more. */
  readonly isFull: boolean;
  flush(): Promise<void>;
}

const SIGNATURE_BYTES = 19;

/**
 * One `COPY … TO STDOUT (FORMAT binary)` as the client's current query.
 *
 * O1. While the sink flushes, the socket is paused; rows that the parser had read already are kept until then.
 */
export class CopyOut implements pg.Submittable {
  /** Rejects with the server's error, the connection's, or what the sink throws. */
  readonly done: Promise<void>;
  readonly #text: string;
  readonly #sink: RowSink;
  readonly #settled = Promise.withResolvers<void>();
  #headRead = false;
  #progressed = false;
  #kept: Buffer[] = [];
  #flushing = false;
  #complete = false;
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
    connection.query(this.#text);
  }

  handleCopyData(message: { readonly chunk: Buffer }, connection: CopyConnection): void {
    this.#progressed = true;
    if (this.#failure !== undefined) return;
    if (this.#flushing)
      this.#kept.push(Buffer.from(message.chunk)); // O1
    else this.#take(message.chunk, connection);
  }

  handleCommandComplete(): void {}

  handleReadyForQuery(): void {
    this.#complete = true;
    if (!this.#flushing) void this.#finish();
  }

  handleError(error: Error): void {
    this.#failure ??= error;
    this.#complete = true;
    if (!this.#flushing) void this.#finish();
  }

  #take(chunk: Buffer, connection: CopyConnection): void {
    let at = 0;
    if (!this.#headRead) {
      this.#headRead = true;
      at = SIGNATURE_BYTES + chunk.readInt32BE(15);
    }
    if (at >= chunk.length || chunk.readInt16BE(at) < 0) return; // the trailer
    try {
      this.#sink.row(chunk, at + 2);
    } catch (error) {
      this.#fail(error, connection);
      return;
    }
    if (this.#sink.isFull) void this.#flush(connection);
  }

  async #flush(connection: CopyConnection): Promise<void> {
    this.#flushing = true;
    connection.stream.pause(); // O1
    try {
      await this.#sink.flush();
      this.#flushing = false;
      const kept = this.#kept;
      this.#kept = [];
      for (const [index, chunk] of kept.entries()) {
        this.#take(chunk, connection);
        if (!this.#flushing) continue;
        this.#kept = kept.slice(index + 1);
        return;
      }
    } catch (error) {
      this.#flushing = false;
      this.#fail(error, connection);
    }
    connection.stream.resume(); // also when it is complete: the connection goes on to its next query
    if (this.#complete) void this.#finish();
  }

  /** There is no other way to end a COPY early on its own connection. */
  #fail(error: unknown, connection: CopyConnection): void {
    this.#failure = error;
    connection.stream.destroy();
  }

  async #finish(): Promise<void> {
    try {
      if (this.#failure === undefined) await this.#sink.flush();
    } catch (error) {
      this.#failure = error;
    }
    if (this.#failure === undefined) this.#settled.resolve();
    else this.#settled.reject(this.#failure);
  }
}
