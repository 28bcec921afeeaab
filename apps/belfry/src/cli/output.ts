import { styleText } from 'node:util';

type Format = Parameters<typeof styleText>[0];

/** Puts colour on text, or leaves it. */
export type Paint = (format: Format, text: string) => string;

export const plain: Paint = (_format, text) => text;

/** Colours are for terminals, and not where NO_COLOR or `TERM=dumb` says no (https://no-color.org). */
export function paintFor(stream: { isTTY?: boolean }, env: NodeJS.ProcessEnv): Paint {
  const wanted = stream.isTTY === true && !env['NO_COLOR'] && env['TERM'] !== 'dumb';
  return wanted ? (format, text) => styleText(format, text, { validateStream: false }) : plain;
}

/** Where a command writes: results to `out`, all else to `err`. */
export interface Output {
  /** One line of result. */
  line(text: string): void;
  /** One JSON document on one line. */
  json(value: unknown): void;
  /** A remark, on stderr. */
  note(text: string): void;
  /** Replaces the present progress line on stderr; only on a terminal. Empty clears it. */
  progress(text: string): void;
  /** Resolves when the results have been handed on: who prints page after page waits for a slow reader, and holds one page. */
  drained(): Promise<void>;
  readonly columns: number;
}

interface Stream {
  isTTY?: boolean;
  columns?: number;
  write(text: string, done?: () => void): unknown;
}

export function outputTo(out: Stream, err: Stream): Output {
  let shown = false;
  const clear = () => {
    if (shown) err.write('\r\x1b[K');
    shown = false;
  };
  return {
    line: (text) => {
      clear();
      out.write(text + '\n');
    },
    json: (value) => {
      clear();
      out.write(JSON.stringify(value) + '\n');
    },
    note: (text) => {
      clear();
      err.write(text + '\n');
    },
    progress: (text) => {
      clear();
      if (err.isTTY !== true || text === '') return;
      err.write(text);
      shown = true;
    },
    drained: () => new Promise((resolve) => out.write('', resolve)),
    columns: out.columns ?? (Number(process.env['COLUMNS']) || 120),
  };
}
