import { readFileSync } from 'node:fs';
import { startTestServers } from '@belfry/adapter-embedded/testing';
import { connect, createInbox, StringCodec, type Msg, type NatsConnection } from 'nats';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';

import { startServerProcess, type RunningServer } from '../testing/program.ts';

// Plays the examples of docs/protocol.md, in their order, against a real program, over plain NATS.

vi.setConfig({ testTimeout: 120_000 });

const PAGE = readFileSync(new URL('../../../../docs/protocol.md', import.meta.url), 'utf8');
/** When the examples play, as the page says. */
const PAGE_NOW = Date.parse('2026-11-25T10:00:00Z');
const INSTANT = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/;
const ID = /^[0-9a-f]{32}(-[0-9a-z]{6,9})?$/;
/** Numbers that are others at each run. */
const VARYING = new Set(['latenessMs', 'scheduledAt', 'dispatchedAt', 'epoch', 'version']);
/** What is told of checkpoints, or of what goes on in the background, comes after a while. */
const LATER = /tasks\.(list|history|explain)$|calendars\.(get|list)$|executions\.trace$|STREAM\.MSG\.GET/;

const codec = StringCodec();
let servers: Awaited<ReturnType<typeof startTestServers>>;
let program: RunningServer;
let nc: NatsConnection;

beforeAll(async () => {
  servers = await startTestServers();
  program = await startServerProcess(servers, '--roles', 'gateway,scheduler,supervisor');
  const { host, username, password } = new URL(servers.natsUrl);
  nc = await connect({ servers: host, user: username, pass: password });
});

afterAll(async () => {
  await nc?.close();
  await program?.[Symbol.asyncDispose]();
  await servers?.stop();
});

/** One message of an example: `// → subject` is sent, `// ← …` is what comes. */
interface Step {
  readonly sent: boolean;
  readonly label: string;
  readonly body: string;
}

function steps(page: string): Step[] {
  const blocks = [...page.matchAll(/^```jsonc\n(.*?)^```/gms)].map((match) => match[1] as string);
  return blocks.flatMap((block) =>
    [...block.matchAll(/^\/\/ (→|←) ?(.*)\n((?:(?!\/\/ [→←]).*\n)*)/gm)].map(([, arrow, label, body]) => ({
      sent: arrow === '→',
      label: label as string,
      body: (body as string).trim(),
    })),
  );
}

function mapped(value: unknown, leaf: (value: unknown, name: string) => unknown, name = ''): unknown {
  if (Array.isArray(value)) return value.map((item) => mapped(item, leaf, name));
  if (typeof value !== 'object' || value === null) return leaf(value, name);
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, mapped(item, leaf, key)]));
}

/** Plays the page: what it shows as an id stands for the id that the program gave, and its instants for others. */
class Player {
  readonly #shiftMs = Date.now() - PAGE_NOW;
  readonly #ids = new Map<string, string>();
  readonly #heard: unknown[] = [];
  readonly #timers: NodeJS.Timeout[] = [];
  #work: Msg | undefined;

  constructor() {
    nc.subscribe('belfry.v1.*.events.>', { callback: (_error, { data }) => this.#heard.push(parse(data)) });
  }

  /** Sends a step; returns what came back. */
  async send({ label, body }: Step): Promise<unknown> {
    if (label === "the message's reply subject") {
      if (this.#work === undefined) throw new Error('there is no work message yet');
      return nc.publish(this.#work.reply as string, codec.encode(body));
    }
    const data = codec.encode(JSON.stringify(mapped(JSON.parse(body), (value) => this.#toProgram(value))));
    if (label.endsWith('.heartbeat')) {
      nc.publish(label, data);
      this.#timers.push(setInterval(() => nc.publish(label, data), 1_000));
      return undefined;
    }
    // A work message comes under its own subject, so the answer is known by an inbox for this request alone.
    const answer = await nc.request(label, data, { timeout: 15_000, noMux: true, reply: createInbox() });
    if (label.includes('MSG.NEXT')) this.#work = answer;
    const value = parse(answer.data);
    if (!label.includes('STREAM.MSG.GET')) return value;
    const { message } = value as { message?: { data: string } };
    return message === undefined ? value : JSON.parse(Buffer.from(message.data, 'base64').toString());
  }

  /** Expects what the page shows: the same but for ids, instants and `VARYING`. */
  compare(shown: Step, actual: unknown): void {
    expect(actual, `${shown.label}\n${shown.body}`).toEqual(this.#expected(JSON.parse(shown.body), actual));
  }

  async hear(shown: Step): Promise<void> {
    const wanted = JSON.parse(shown.body) as unknown;
    await vi.waitFor(
      () =>
        expect(
          this.#heard.some((event) => same(event, this.#expected(wanted, event))),
          shown.body,
        ).toBe(true),
      10_000,
    );
  }

  stop(): void {
    for (const timer of this.#timers) clearInterval(timer);
  }

  #toProgram(value: unknown): unknown {
    if (typeof value !== 'string') return value;
    if (INSTANT.test(value)) return new Date(Date.parse(value) + this.#shiftMs).toISOString();
    return this.#ids.get(value) ?? value;
  }

  #expected(shown: unknown, actual: unknown, name = ''): unknown {
    if (Array.isArray(shown))
      return shown.map((item, at) => this.#expected(item, (actual as unknown[] | undefined)?.[at], name));
    if (typeof shown === 'object' && shown !== null) {
      const fields = actual as Record<string, unknown> | undefined;
      return Object.fromEntries(
        Object.entries(shown).map(([key, item]) => [key, this.#expected(item, fields?.[key], key)]),
      );
    }
    if (typeof shown === 'number' && VARYING.has(name)) return typeof actual === 'number' ? actual : 'a number';
    if (typeof shown !== 'string') return shown;
    if (INSTANT.test(shown)) return typeof actual === 'string' && INSTANT.test(actual) ? actual : 'an instant';
    if (!ID.test(shown)) return shown;
    const known = this.#ids.get(shown);
    if (known !== undefined) return known;
    if (typeof actual !== 'string' || !ID.test(actual)) return 'an id';
    this.#ids.set(shown, actual);
    return actual;
  }
}

function parse(data: Uint8Array): unknown {
  return JSON.parse(codec.decode(data));
}

function same(left: unknown, right: unknown): boolean {
  return JSON.stringify(left) === JSON.stringify(right);
}

it('answers as the protocol page shows', async () => {
  const all = steps(PAGE);
  expect(all.length).toBeGreaterThan(40);
  const player = new Player();
  try {
    for (const [at, step] of all.entries()) {
      if (!step.sent) {
        if (step.label.includes('.events.')) await player.hear(step);
        continue;
      }
      const next = all[at + 1];
      const shown = next?.sent === false && !next.label.includes('.events.') ? next : undefined;
      const play = async (): Promise<void> => {
        const actual = await player.send(step);
        if (shown !== undefined) player.compare(shown, actual);
      };
      if (LATER.test(step.label)) await vi.waitFor(play, 15_000);
      else await play();
    }
  } finally {
    player.stop();
  }
});
