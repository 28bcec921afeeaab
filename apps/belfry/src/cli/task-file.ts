import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';

import { CliError, EXIT, usageError } from './exit.ts';
import { printable } from './table.ts';
import { fileTrouble } from './task-flags.ts';

/** One task as the file states it, unchecked, and where it stands: `tasks.ndjson:4` or `tasks.json[3]`. */
export interface FileItem {
  readonly where: string;
  readonly value: unknown;
}

export function badJson(where: string, error: unknown): CliError {
  return new CliError(EXIT.refused, 'malformed', printable(`not JSON: ${(error as Error).message}`), { path: where });
}

/** Tasks of a whole JSON document: an array, `{"items": […]}`, or one task. */
export function itemsOfDocument(name: string, text: string): FileItem[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw badJson(name, error);
  }
  const items = Array.isArray(value) ? value : (value as { items?: unknown } | null)?.items;
  if (Array.isArray(items)) return items.map((item: unknown, i) => ({ where: `${name}[${i}]`, value: item }));
  return [{ where: name, value }];
}

/** Decided by the first line that isn't blank: one whole JSON object, and not `{"items": […]}`, means lines of JSON. */
function isWholeTask(line: string): boolean {
  if (!line.startsWith('{')) return false;
  try {
    return !Array.isArray((JSON.parse(line) as { items?: unknown }).items);
  } catch {
    return false;
  }
}

/** Tasks of a file, read as they are asked for: a file of lines is never held whole. */
export async function* readTaskFile(path: string, stdin: Readable): AsyncGenerator<FileItem> {
  const name = path === '-' ? 'stdin' : path;
  const input = path === '-' ? stdin : createReadStream(path);
  const failed = new Promise<never>((_resolve, reject) => {
    input.once('error', (error: NodeJS.ErrnoException) => reject(usageError(`${name}: ${fileTrouble(error)}`)));
  });
  failed.catch(() => undefined);
  const lines = createInterface({ input, crlfDelay: Infinity })[Symbol.asyncIterator]();
  let document: string[] | undefined;
  let decided = false;
  for (let number = 1; ; number++) {
    const { done, value: line } = await Promise.race([lines.next(), failed]);
    if (done) break;
    const text = (number === 1 ? line.replace(/^\uFEFF/, '') : line).trim();
    if (!decided && text !== '') {
      decided = true;
      if (!isWholeTask(text)) document = [];
    }
    if (document) {
      document.push(text);
    } else if (text !== '') {
      let value: unknown;
      try {
        value = JSON.parse(text);
      } catch (error) {
        throw badJson(`${name}:${number}`, error);
      }
      yield { where: `${name}:${number}`, value };
    }
  }
  if (document) yield* itemsOfDocument(name, document.join('\n'));
}
