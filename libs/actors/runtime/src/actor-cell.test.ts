import { describe, expect, it } from 'vitest';
import { ActorCell } from './actor-cell.ts';

describe('ActorCell', () => {
  it('receives messages in order, also those that it is told while it receives', () => {
    const seen: number[] = [];
    const cell: ActorCell<number> = new ActorCell<number>({
      capacity: 10,
      receive: (message) => {
        if (message === 1) void cell.tell(3);
        seen.push(message);
      },
      onCrash: () => expect.unreachable(),
    });
    void cell.tell(1);
    void cell.tell(2);
    expect(seen).toEqual([1, 3, 2]);
  });

  it('pauses at a crash, keeps what comes, and goes on after resume', () => {
    const seen: string[] = [];
    const crashes: string[] = [];
    const cell = new ActorCell<string>({
      capacity: 10,
      receive: (message) => {
        if (message === 'bad') throw new Error('boom');
        seen.push(message);
      },
      onCrash: (error, message) => crashes.push(`${message}: ${(error as Error).message}`),
    });
    for (const message of ['a', 'bad', 'b']) void cell.tell(message);
    expect([seen, crashes, cell.waiting]).toEqual([['a'], ['bad: boom'], 1]);
    cell.resume();
    expect(seen).toEqual(['a', 'b']);
  });

  it('asks a sender to wait when it is half full, and lets it go when there is room', async () => {
    const cell = new ActorCell<number>({ capacity: 4, receive: () => undefined, onCrash: () => expect.unreachable() });
    cell.pause();
    expect(cell.tell(1)).toBeUndefined();
    const room = cell.tell(2);
    expect(room).toBeInstanceOf(Promise);
    cell.resume();
    await room;
    expect(cell.waiting).toBe(0);
  });
});
