import { closeSync, existsSync, fstatSync, openSync, readSync } from 'node:fs';

import type { Run } from './check.ts';

/**
 * The runs in a worker's log: `S <execution> <attempt> <ms> <epoch>` for each start of a handler, `E …` without the epoch for each good end. A
 * line that is not whole yet, or never will be since its worker was killed, is left out.
 */
export class RunBook {
  readonly runs: Run[] = [];
  readonly #worker: string;
  readonly #places = new Map<string, number>();
  #torn = '';

  constructor(worker: string) {
    this.#worker = worker;
  }

  add(text: string): void {
    const lines = (this.#torn + text).split('\n');
    this.#torn = lines.pop() ?? '';
    for (const line of lines) {
      const [kind, execution = '', attempt = '', ms = '', epoch = ''] = line.split(' ');
      const name = `${execution} ${attempt}`;
      const at = this.#places.get(name);
      if (kind === 'S') {
        this.#places.set(name, this.runs.length);
        this.runs.push({
          execution,
          attempt: Number(attempt),
          worker: this.#worker,
          epoch: Number(epoch),
          startMs: Number(ms),
          endMs: undefined,
        });
      } else if (at !== undefined) {
        this.runs[at] = { ...(this.runs[at] as Run), endMs: Number(ms) };
      }
    }
  }
}

/** A worker's log on disk. It is read on from where it was read to. */
export class RunLog {
  readonly #file: string;
  readonly #book: RunBook;
  #read = 0;

  constructor(worker: string, file: string) {
    this.#file = file;
    this.#book = new RunBook(worker);
  }

  /** What there is by now. */
  read(): readonly Run[] {
    if (existsSync(this.#file)) {
      const file = openSync(this.#file, 'r');
      try {
        const bytes = Buffer.alloc(fstatSync(file).size - this.#read);
        const count = bytes.length === 0 ? 0 : readSync(file, bytes, 0, bytes.length, this.#read);
        this.#read += count;
        this.#book.add(bytes.toString('latin1', 0, count));
      } finally {
        closeSync(file);
      }
    }
    return this.#book.runs;
  }
}
