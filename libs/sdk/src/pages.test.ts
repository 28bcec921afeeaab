import type { ExecutionView, HistoryRequest, ListRequest } from '@belfry/protocol';
import { describe, expect, it } from 'vitest';

import { executionPages, taskPages } from './pages.ts';

const asOf = '2026-11-25T12:00:00.000Z';

describe('pages of tasks', () => {
  const asked: ListRequest[] = [];
  const fetch = async (request: ListRequest) => {
    asked.push(request);
    const page = Number(request.cursor ?? 0);
    const items = [{ id: `${page}a` }, { id: `${page}b` }] as never;
    return page < 2 ? { items, asOf, cursor: String(page + 1) } : { items, asOf };
  };

  it('are the first when awaited', async () => {
    expect((await taskPages({ queue: 'q' }, fetch)).items).toHaveLength(2);
  });

  it('are all when iterated, fetched with the same filters', async () => {
    asked.length = 0;
    const ids: string[] = [];
    for await (const { id } of taskPages({ queue: 'q' }, fetch)) ids.push(id);
    expect(ids).toEqual(['0a', '0b', '1a', '1b', '2a', '2b']);
    expect(asked).toEqual([{ queue: 'q' }, { queue: 'q', cursor: '1' }, { queue: 'q', cursor: '2' }]);
  });

  it('are fetched only as far as they are read', async () => {
    asked.length = 0;
    for await (const { id } of taskPages({}, fetch)) if (id === '0b') break;
    expect(asked).toHaveLength(1);
  });
});

describe('pages of executions', () => {
  /** Latest first, several at one instant. */
  const all = [9, 8, 8, 8, 8, 7, 6, 6, 5].map((ms, i) => ({
    execution: `x${i}`,
    scheduledAt: new Date(ms).toISOString(),
  })) as ExecutionView[];

  it('are all when iterated, each once, also those of one instant', async () => {
    const asked: HistoryRequest[] = [];
    const fetch = async (request: HistoryRequest) => {
      asked.push(request);
      const { cursor = '0', limit = 3 } = request;
      const end = Number(cursor) + limit;
      const items = all.slice(Number(cursor), end);
      return end < all.length ? { items, asOf, cursor: String(end) } : { items, asOf };
    };
    const seen: string[] = [];
    for await (const { execution } of executionPages({ key: 'k', limit: 3 }, fetch)) seen.push(execution);
    expect(seen).toEqual(all.map(({ execution }) => execution));
    const request = { key: 'k', limit: 3 };
    expect(asked).toEqual([request, { ...request, cursor: '3' }, { ...request, cursor: '6' }]);
  });
});
