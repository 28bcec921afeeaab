import type pg from 'pg';

import { CopyBuffer } from './copy-buffer.ts';
import { Turns } from './turns.ts';

/** Writes rows into the buffer; each `yield` is a place where the event loop and the socket may have their turn. */
export type CopySource = (buffer: CopyBuffer) => Iterable<void>;

/** What a COPY needs of the client's connection; the last two are missing from its types. */
export interface CopyConnection extends Pick<pg.Connection, 'query' | 'stream'> {
  endCopyFrom(): void;
  sendCopyFail(message: string): void;
}

/**
 * One `COPY … FROM STDIN (FORMAT binary)` as the client's current query.
 *
 * The rows are framed as CopyData messages right in the buffer that goes to the socket. Slower servers hold the source back.
 */
export class CopyIn implements pg.Submittable {
  /** Rejects with the server's error, the connection's, or what the source throws. */
  readonly done: Promise<void>;
  readonly #text: string;
  readonly #source: CopySource;
  readonly #settled = Promise.withResolvers<void>();
  #over = false;
  #failure: unknown;

  constructor(text: string, source: CopySource) {
    this.#text = text;
    this.#source = source;
    this.done = this.#settled.promise;
    this.done.catch(() => undefined); // whoever cares awaits it
  }

  submit(connection: pg.Connection): void {
    connection.query(this.#text);
  }

  handleCopyInResponse(connection: CopyConnection): void {
    this.#send(connection).catch((error: unknown) => {
      this.#failure = error;
      connection.sendCopyFail('the source failed');
    });
  }

  handleCommandComplete(): void {}

  handleReadyForQuery(): void {
    this.#settle();
  }

  handleError(error: Error): void {
    this.#failure ??= error;
    this.#settle();
  }

  #settle(): void {
    this.#over = true;
    if (this.#failure === undefined) this.#settled.resolve();
    else this.#settled.reject(this.#failure);
  }

  async #send(connection: CopyConnection): Promise<void> {
    const { stream } = connection;
    const buffer = new CopyBuffer((chunk) => stream.write(chunk));
    const turns = new Turns();
    for (const _ of this.#source(buffer)) {
      if (this.#over) return; // the server refused a row
      if (stream.writableNeedDrain) {
        await this.#drained(stream);
        turns.restart();
      } else if (turns.isDue) {
        await turns.due();
      }
    }
    if (this.#over) return;
    buffer.end();
    connection.endCopyFrom();
  }

  /** Resolves when the socket takes more, or when the query is over. */
  async #drained(stream: NodeJS.WritableStream): Promise<void> {
    const drain = Promise.withResolvers<void>();
    stream.once('drain', drain.resolve);
    await Promise.race([drain.promise, this.done.catch(() => undefined)]);
    stream.removeListener('drain', drain.resolve);
  }
}
