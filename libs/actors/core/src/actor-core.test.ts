import { queryObjects } from 'node:v8';
import { describe, expect, it } from 'vitest';
import { Mailbox } from './mailbox.ts';
import { Supervision } from './supervision.ts';

describe('Mailbox', () => {
  it('keeps order, and refuses what is over its capacity', () => {
    const mailbox = new Mailbox<number>(3);
    expect([1, 2, 3, 4].map((message) => mailbox.offer(message))).toEqual([true, true, true, false]);
    expect([mailbox.shift(), mailbox.shift()]).toEqual([1, 2]);
    expect(mailbox.offer(5)).toBe(true);
    expect([mailbox.shift(), mailbox.shift(), mailbox.shift()]).toEqual([3, 5, undefined]);
  });

  it('gives back memory while it is drained', () => {
    const mailbox = new Mailbox<number>(100_000);
    for (let message = 0; message < 100_000; message++) mailbox.offer(message);
    for (let message = 0; message < 100_000; message++) expect(mailbox.shift()).toBe(message);
    expect(mailbox.size).toBe(0);
  });

  it('does not hold what was taken out (M1)', () => {
    class Message {}
    const mailbox = new Mailbox<Message>(100);
    for (let n = 0; n < 3; n++) mailbox.offer(new Message());
    for (let n = 0; n < 2; n++) mailbox.shift();
    expect(queryObjects(Message, { format: 'count' })).toBe(1);
    mailbox.shift();
    expect(queryObjects(Message, { format: 'count' })).toBe(0);
  });
});

describe('Supervision', () => {
  it('waits longer after each crash of a series, up to the ceiling, and starts over after calm', () => {
    const supervision = new Supervision({
      crashesBeforeQuarantine: 3,
      firstDelayMs: 100,
      maxDelayMs: 1_000,
      calmMs: 5_000,
    });
    const delays = [0, 10, 20, 30, 40].map((now) => supervision.onCrash(now, 0).delayMs);
    expect(delays).toEqual([100, 200, 400, 800, 1_000]);
    expect(supervision.onCrash(10_000, 0).delayMs).toBe(100);
  });

  it('sets a message aside that has crashed its actor three times', () => {
    const supervision = new Supervision();
    expect([1, 2, 3].map((crashes) => supervision.onCrash(crashes, crashes).kind)).toEqual([
      'restart',
      'restart',
      'quarantine',
    ]);
  });
});
