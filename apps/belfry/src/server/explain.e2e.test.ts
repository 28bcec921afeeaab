import { startTestServers } from '@belfry/adapter-embedded/testing';
import { Belfry, defineTask, Worker, type ExplainReply } from '@belfry/sdk';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';

import { startServerProcess, type RunningServer } from '../testing/program.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });
const PATIENCE = { timeout: 60_000, interval: 250 };
const SILENT = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

let servers: Awaited<ReturnType<typeof startTestServers>>;
let program: RunningServer;
let client: Belfry;
let worker: Worker;
const beat = defineTask({ name: 'beat', queue: 'explained' });
const ran: number[] = [];

beforeAll(async () => {
  servers = await startTestServers();
  program = await startServerProcess(servers, '--node-id', 'first');
  client = new Belfry({ url: servers.natsUrl, log: SILENT });
  const handler = beat.handler(({ scheduledAt }) => void ran.push(scheduledAt.getTime()));
  worker = new Worker({ url: servers.natsUrl, name: 'w', handlers: [handler], log: SILENT });
  await worker.start();
});

afterAll(async () => {
  await worker?.stop();
  await client?.close();
  await program?.[Symbol.asyncDispose]();
  await servers?.stop();
});

const codesOf = ({ fires }: ExplainReply): string[] =>
  fires.map(({ verdict, reasons }) => [verdict, ...reasons.map(({ code }) => code)].join(' '));

/** The ledger of the whole cluster, which is one process: by metric, labels summed. */
async function ledger({ http }: RunningServer): Promise<Record<string, number>> {
  const text = await (await fetch(`http://127.0.0.1:${http}/metrics`)).text();
  const sums: Record<string, number> = {};
  for (const [, name, value] of text.matchAll(/^belfry_((?:missed_fires|fires_[a-z]+))(?:\{.*\})? (\d+)$/gm))
    sums[name as string] = (sums[name as string] ?? 0) + Number(value);
  return sums;
}

describe('an explanation', () => {
  it('tells what ran, through the death of its owner, and nothing is missed', async () => {
    const from = Date.now();
    await client.schedule(beat, { every: '1s', key: 'beat', precision: 'high' });
    await vi.waitFor(() => expect(ran.length).toBeGreaterThan(2), PATIENCE);
    await program.kill('SIGKILL');
    program = await startServerProcess(servers, '--node-id', 'heir');
    const since = Date.now();
    await vi.waitFor(() => expect(ran.at(-1)).toBeGreaterThan(since), PATIENCE);
    const to = ran.at(-1) as number;
    await vi.waitFor(async () => {
      const reply = await client.explain({ key: 'beat', from, to, limit: 200 });
      expect(reply.fires.map(({ verdict }) => verdict)).toEqual(reply.fires.map(() => 'ran'));
      expect(reply.fires.map(({ scheduledAt }) => Date.parse(scheduledAt))).toEqual(
        [...new Set(ran)].filter((at) => at <= to).sort((a, b) => a - b),
      );
      expect(reply.owners.map(({ node }) => node)).toContain('heir');
      expect(codesOf(reply).some((line) => line.startsWith('ran moved'))).toBe(true);
      expect(reply.life.map(({ what }) => what)).toEqual(['created']);
    }, PATIENCE);
    const { missed_fires: missed, fires_expected: expected, ...accounts } = await ledger(program);
    expect(missed).toBe(0);
    expect(expected).toBe(Object.values(accounts).reduce((sum, count) => sum + count));
    expect(expected).toBeGreaterThanOrEqual(ran.length);
  });

  it('tells what a cancelled task would have done, and why it does not', async () => {
    const made = Date.now();
    await client.schedule(beat, { at: made + 3_600_000, key: 'late' });
    const coming = await client.explain({ key: 'late', at: made + 3_600_000 });
    expect(codesOf(coming)).toEqual(['coming coming']);
    const { absence } = await client.explain({ key: 'late', at: made + 60_000 });
    expect(absence).toMatchObject({ reasons: [{ code: 'once' }], next: new Date(made + 3_600_000).toISOString() });
    await client.update({ key: 'late' }, { at: made + 7_200_000 });
    await client.cancel({ key: 'late' });
    await vi.waitFor(async () => {
      const reply = await client.explain({ key: 'late', from: made + 3_000_000, to: made + 9_000_000 });
      expect(codesOf(reply)).toEqual(['withdrawn rescheduled', 'withdrawn cancelled']);
      expect(reply.life.map(({ what }) => what)).toEqual(['created', 'rescheduled', 'cancelled']);
    }, PATIENCE);
  });
});
