import type { ExecutionView, HistoryReply, HistoryRequest, ListReply, ListRequest, TaskView } from '@belfry/protocol';

/** Awaited, it is the first page; iterated, all items of this page and those after it, fetched as they are needed. */
export type Pages<Page, Item> = Promise<Page> & AsyncIterable<Item>;

interface PageOf<Item> {
  readonly items: readonly Item[];
  readonly cursor?: string;
}

function pages<Item, Page extends PageOf<Item>, Request extends object>(
  request: Request,
  fetch: (request: Request & { readonly cursor?: string }) => Promise<Page>,
): Pages<Page, Item> {
  const first = fetch(request);
  return Object.assign(first, {
    async *[Symbol.asyncIterator]() {
      for (let page = await first; ;) {
        yield* page.items;
        if (page.cursor === undefined) return;
        page = await fetch({ ...request, cursor: page.cursor });
      }
    },
  });
}

export function taskPages(
  request: ListRequest,
  fetch: (request: ListRequest) => Promise<ListReply>,
): Pages<ListReply, TaskView> {
  return pages(request, fetch);
}

export function executionPages(
  request: HistoryRequest,
  fetch: (request: HistoryRequest) => Promise<HistoryReply>,
): Pages<HistoryReply, ExecutionView> {
  return pages(request, fetch);
}
