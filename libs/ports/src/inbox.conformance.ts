import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import type { Inbox, InboxMessage } from './inbox.ts';

export interface InboxHarness {
  readonly inbox: Inbox;
  /** Ends what the harness holds. */
  dispose(): Promise<void>;
}

/** Collects what a reading gets, and resolves once it is `count` messages. */
function collector(count: number): {
  readonly messages: InboxMessage[];
  readonly complete: Promise<void>;
  add(message: InboxMessage): void;
} {
  const messages: InboxMessage[] = [];
  let finish: () => void;
  const complete = new Promise<void>((resolve) => (finish = resolve));
  const add = (message: InboxMessage): void => {
    messages.push(message);
    if (messages.length === count) finish();
  };
  return { messages, complete, add };
}

const text = (message: InboxMessage): string => new TextDecoder().decode(message.body);

/** What every inbox does. `make` gives an empty one over shards 0 to 7 that takes about `maxBytes`. */
export function inboxConformance(name: string, make: (options: { maxBytes: number }) => Promise<InboxHarness>): void {
  describe(`inbox: ${name}`, () => {
    let harness: InboxHarness;
    let inbox: Inbox;
    beforeEach(async () => {
      harness = await make({ maxBytes: 1_000_000 });
      inbox = harness.inbox;
    });
    afterEach(() => harness.dispose());

    const append = async (...messages: [shard: number, body: string][]): Promise<readonly number[]> => {
      const outcome = await inbox.append(messages.map(([shard, body]) => ({ shard, body })));
      if (outcome.kind !== 'ok') throw new Error(`append: ${JSON.stringify(outcome)}`);
      return outcome.value;
    };

    const readAll = async (shards: number[], fromSeq: number, count: number): Promise<InboxMessage[]> => {
      const got = collector(count);
      const reading = await inbox.read(shards, fromSeq, got.add);
      await got.complete;
      await reading.stop();
      return got.messages;
    };

    it('appends nothing as nothing', async () => {
      expect(await append()).toEqual([]);
    });

    it('gives a single message its sequence', async () => {
      const [seq] = await append([3, 'one']);
      const [message] = await readAll([3], 1, 1);
      expect(message).toMatchObject({ shard: 3, seq });
      expect(text(message as InboxMessage)).toBe('one');
    });

    it('gives growing sequences in the order of the messages, and reads them back with their shards', async () => {
      const bodies = Array.from({ length: 200 }, (_, i): [number, string] => [i % 8, `body ${i}`]);
      const seqs = await append(...bodies);
      expect([...seqs].sort((a, b) => a - b)).toEqual(seqs);
      const messages = await readAll([0, 1, 2, 3, 4, 5, 6, 7], 1, 200);
      expect(messages.map(({ seq }) => seq)).toEqual(seqs);
      expect(messages.map((message) => [message.shard, text(message)])).toEqual(bodies);
    });

    it('keeps the sequences of appends that run at the same time apart', async () => {
      const appends = Array.from({ length: 12 }, (_, a) =>
        append(...Array.from({ length: 40 }, (_, i): [number, string] => [(a + i) % 8, `${a}/${i}`])),
      );
      const claimed = new Map<string, string>();
      for (const [a, seqs] of (await Promise.all(appends)).entries()) {
        for (const [i, seq] of seqs.entries()) claimed.set(`${seq} of ${(a + i) % 8}`, `${a}/${i}`);
      }
      expect(claimed.size).toBe(480);
      const messages = await readAll([0, 1, 2, 3, 4, 5, 6, 7], 1, 480);
      for (const message of messages) expect(text(message)).toBe(claimed.get(`${message.seq} of ${message.shard}`));
    });

    it('reads only the shards asked for, from the sequence asked for, and goes on with what comes', async () => {
      await append([0, 'a']);
      const [seq] = await append([1, 'b'], [2, 'c'], [1, 'd'], [0, 'e']);
      const got = collector(4);
      const reading = await inbox.read([0, 1], seq as number, got.add);
      await append([2, 'f'], [1, 'g']);
      await got.complete;
      await reading.stop();
      expect(got.messages.map(text)).toEqual(['b', 'd', 'e', 'g']);
    });

    it('stamps messages with a stored time that never falls within what one append wrote', async () => {
      await append([0, 'a'], [0, 'b'], [0, 'c']);
      const times = (await readAll([0], 1, 3)).map(({ timestamp }) => timestamp);
      expect(times.every(Number.isSafeInteger)).toBe(true);
      expect([...times].sort((a, b) => a - b)).toEqual(times);
    });

    it('says of messages that share a sequence whether another follows; a shard has one of each sequence', async () => {
      await append([3, 'a'], [1, 'b'], [5, 'ç'], [3, 'd'], [4, 'e'], [1, 'f']);
      for (const shards of [[0, 1, 2, 3, 4, 5, 6, 7], [1, 3], [5], [4, 3]]) {
        const wanted = ['3a', '1b', '5ç', '3d', '4e', '1f'].filter((name) => shards.includes(Number(name[0])));
        const messages = await readAll(shards, 1, wanted.length);
        expect(messages.map((message) => `${message.shard}${text(message)}`)).toEqual(wanted);
        expect(new Set(messages.map(({ shard, seq }) => `${shard}/${seq}`)).size).toBe(wanted.length);
        for (const [at, { seq, timestamp, more }] of messages.entries()) {
          const next = messages[at + 1];
          expect(more === true).toBe(next?.seq === seq);
          if (more === true) expect(next?.timestamp).toBe(timestamp);
        }
      }
    });

    it('hands out what shares a sequence to the end, though the receiver is busy and reading is stopped', async () => {
      const seqs = await append([0, 'a'], [1, 'b'], [2, 'c'], [0, 'd']);
      const texts: string[] = [];
      const [reached, gate] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
      const reading = await inbox.read([0, 1, 2], 1, async (message) => {
        texts.push(text(message));
        reached.resolve();
        await gate.promise;
      });
      await reached.promise;
      const stopped = reading.stop();
      gate.resolve();
      await stopped;
      expect(texts).toEqual(['a', 'b', 'c'].filter((_, at) => seqs[at] === seqs[0]));
    });

    it('waits for a receiver that is busy, and keeps the order', async () => {
      await append(...Array.from({ length: 50 }, (_, i): [number, string] => [i % 8, `${i}`]));
      let inside = 0;
      const got = collector(50);
      const reading = await inbox.read([0, 1, 2, 3, 4, 5, 6, 7], 1, async (message) => {
        expect(++inside).toBe(1);
        await Promise.resolve();
        inside--;
        got.add(message);
      });
      await got.complete;
      await reading.stop();
      expect(got.messages.map(text)).toEqual(Array.from({ length: 50 }, (_, i) => `${i}`));
    });

    it('delivers nothing after it was stopped', async () => {
      const got = collector(1);
      const reading = await inbox.read([0], 1, got.add);
      await append([0, 'before']);
      await got.complete;
      await reading.stop();
      await reading.stop();
      await append([0, 'after']);
      await readAll([0], 1, 2);
      expect(got.messages.map(text)).toEqual(['before']);
      await expect(reading.done).resolves.toBeUndefined();
    });

    it('ends a reading whose receiver fails, with the error', async () => {
      await append([0, 'poison']);
      const reading = await inbox.read([0], 1, () => {
        throw new Error('cannot digest');
      });
      await expect(reading.done).rejects.toThrow('cannot digest');
      await reading.stop();
      const later = await inbox.read([0], 1, () => Promise.reject(new Error('nor later')));
      await expect(later.done).rejects.toThrow('nor later');
    });

    it('trims the front, and says where it begins', async () => {
      const seqs = await append([0, 'a'], [1, 'b'], [0, 'c'], [1, 'd']);
      const before = await inbox.usage();
      await inbox.trim(seqs[2] as number);
      const after = await inbox.usage();
      expect(before).toMatchObject({ firstSeq: seqs[0], lastSeq: seqs[3] });
      expect(after).toMatchObject({ firstSeq: seqs[2], lastSeq: seqs[3] });
      expect(after.bytes).toBeLessThan(before.bytes);
      expect((await readAll([0, 1], 1, 2)).map(text)).toEqual(['c', 'd']);
    });

    it('goes on with the sequences after everything was trimmed', async () => {
      const seqs = await append([0, 'a'], [0, 'b']);
      await inbox.trim((seqs[1] as number) + 1);
      expect(await append([0, 'c'])).toEqual([(seqs[1] as number) + 1]);
    });

    it('refuses a whole append when it is full, and takes it again after a trim', async () => {
      const body = 'x'.repeat(100_000);
      let last = 0;
      let refused = 0;
      for (let i = 0; i < 8; i++) {
        const outcome = await inbox.append([
          { shard: 1, body },
          { shard: 2, body },
        ]);
        if (outcome.kind === 'ok') last = outcome.value[1] as number;
        else if (outcome.kind === 'refused') refused++;
        else throw outcome.error;
      }
      expect(refused).toBeGreaterThan(2);
      const { maxBytes, bytes, lastSeq } = await inbox.usage();
      expect(bytes).toBeLessThanOrEqual(maxBytes);
      expect(lastSeq).toBe(last);
      expect(await inbox.append([{ shard: 1, body: 'x'.repeat(300_000) }])).toEqual({
        kind: 'refused',
        reason: 'full',
      });
      await inbox.trim(lastSeq + 1);
      expect((await append([1, body], [2, body])).length).toBe(2);
    });

    it('takes a batch as large as the limit and no larger', async () => {
      const batch = Array.from({ length: 1_000 }, (_, i): [number, string] => [i % 8, `${i}`]);
      expect((await append(...batch)).length).toBe(1_000);
      await expect(append(...batch, [0, 'one too many'])).rejects.toThrow(RangeError);
    });
  });
}
