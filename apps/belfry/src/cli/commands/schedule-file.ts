import { Readable } from 'node:stream';

import type { CreateResult, TaskSpec } from '@belfry/protocol';

import type { Cli, CommandResult } from '../cli.ts';
import { errorText, EXIT } from '../exit.ts';
import { type FileItem, readTaskFile } from '../task-file.ts';
import { duration } from '../time.ts';

/** Tasks of one request, and requests under way at the same time. */
const CHUNK = 1_000;
const IN_FLIGHT = 4;
/** Refusals told one by one on a terminal's behalf; the rest only counted. */
const TOLD = 20;

/**
 * Schedules the tasks of a file, as they are read. Whatever ends it, the file's end, a line that is no JSON, a failed request
 * or Ctrl-C, it tells what was answered until then.
 */
export async function scheduleFile(cli: Cli, path: string): CommandResult {
  const sending = new Sending(cli);
  cli.signal.addEventListener('abort', () => sending.tellCounts(), { once: true });
  const items = readTaskFile(path, Readable.from(cli.stdinChunks()));
  try {
    for (;;) {
      const next: IteratorResult<FileItem, void> = await Promise.race([items.next(), sending.failed]);
      if (next.done) break;
      await sending.add(next.value);
    }
    await sending.flush();
  } catch (error) {
    await sending.settled();
    if (sending.answered > 0) sending.tellCounts();
    throw error;
  }
  sending.tellCounts();
  return sending.refused > 0 ? EXIT.refused : EXIT.ok;
}

/** Requests under way, and the counts of what they were answered. */
class Sending {
  readonly #cli: Cli;
  readonly #startedAt: number;
  readonly #under = new Set<Promise<void>>();
  readonly #failure = Promise.withResolvers<never>();
  readonly #counts = { created: 0, updated: 0, unchanged: 0 };
  #chunk: FileItem[] = [];
  refused = 0;

  constructor(cli: Cli) {
    this.#cli = cli;
    this.#startedAt = cli.now();
    this.failed.catch(() => undefined); // whoever adds meets it
  }

  /** Rejects when a request fails. */
  get failed(): Promise<never> {
    return this.#failure.promise;
  }

  get answered(): number {
    const { created, updated, unchanged } = this.#counts;
    return created + updated + unchanged + this.refused;
  }

  /** Waits while as many requests are under way as may be. */
  async add(item: FileItem): Promise<void> {
    this.#chunk.push(item);
    if (this.#chunk.length < CHUNK) return;
    this.#send();
    if (this.#under.size >= IN_FLIGHT) await Promise.race([...this.#under, this.failed]);
  }

  /** Sends the rest, and waits for all answers. */
  async flush(): Promise<void> {
    if (this.#chunk.length > 0) this.#send();
    await Promise.race([this.settled(), this.failed]);
  }

  async settled(): Promise<void> {
    await Promise.all(this.#under);
  }

  tellCounts(): void {
    if (this.#cli.json) return;
    const { created, updated, unchanged } = this.#counts;
    const took = duration(this.#cli.now() - this.#startedAt);
    this.#cli.out.line(
      `${created} created, ${updated} updated, ${unchanged} unchanged, ${this.refused} refused in ${took}`,
    );
  }

  #send(): void {
    const items = this.#chunk;
    this.#chunk = [];
    const sent = this.#request(items)
      .catch(this.#failure.reject)
      .finally(() => this.#under.delete(sent));
    this.#under.add(sent);
  }

  async #request(items: readonly FileItem[]): Promise<void> {
    const client = await this.#cli.connect();
    const results = await client.scheduleMany(items.map((item) => item.value as TaskSpec));
    for (const [i, result] of results.entries()) this.#tell(items[i]?.where, result);
    const perSecond = Math.round((this.answered * 1_000) / Math.max(1, this.#cli.now() - this.#startedAt));
    this.#cli.out.progress(`${this.answered} tasks, ${perSecond}/s`);
  }

  #tell(where: string | undefined, result: CreateResult): void {
    const { json, out } = this.#cli;
    if (json) out.json({ at: where, ...result });
    if (!('error' in result)) {
      this.#counts[result.status]++;
      return;
    }
    this.refused++;
    if (json || this.refused > TOLD) return;
    const { code, message, path } = result.error;
    const field = path?.replace(/^items\[\d+\]\.?/, '');
    out.note(`${where}: ${errorText({ exit: EXIT.refused, code, message, ...(field ? { path: field } : {}) })}`);
    if (this.refused === TOLD) out.note('further refusals are only counted; --json tells all');
  }
}
