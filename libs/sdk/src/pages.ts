import type { ExecutionView, HistoryReply, HistoryRequest, ListReply, ListRequest, TaskView } from '@belfry/protocol';

/** Awaited, it is the first page; iterated, all items of this page and those after it, fetched as they are needed. */
export type Pages<Page, Item> = Promise<Page> & AsyncIterable<Item>;

function pages<Page, Item>(first: Promise<Page>, all: (first: Page) => AsyncGenerator<Item>): Pages<Page, Item> {
  return Object.assign(first, {
    async *[Symbol.asyncIterator]() {
      yield* all(await first);
    },
  });
}

export function taskPages(
  request: ListRequest,
  fetch: (request: ListRequest) => Promise<ListReply>,
): Pages<ListReply, TaskView> {
  return pages(fetch(request), async function* (page) {
    for (;;) {
      yield* page.items;
      if (page.cursor === undefined) return;
      page = await fetch({ ...request, cursor: page.cursor });
    }
  });
}

/**
 * Pages go by instant, and several executions may have the same one: so a page is asked for from the last one's instant on, and
 * what was there already is left out. (More of one instant than fit a page are not all seen.)
 */
export function executionPages(
  request: HistoryRequest,
  fetch: (request: HistoryRequest) => Promise<HistoryReply>,
): Pages<HistoryReply, ExecutionView> {
  return pages(fetch(request), async function* (page) {
    let seen = new Set<string>();
    for (;;) {
      const fresh = page.items.filter(({ execution }) => !seen.has(execution));
      yield* fresh;
      const last = page.items.at(-1);
      if (page.more !== true || last === undefined) return;
      seen = new Set(page.items.filter((item) => item.scheduledAt === last.scheduledAt).map((item) => item.execution));
      const instant = Date.parse(last.scheduledAt);
      page = await fetch({ ...request, before: fresh.length === 0 ? instant : instant + 1 });
    }
  });
}
