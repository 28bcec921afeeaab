import type { InboxRecord } from '@belfry/protocol';

/** A record in few words. */
export function said(record: InboxRecord): string {
  switch (record.k) {
    case 'result':
      return `result ${record.x}.${record.a} ${record.o} ${record.w}`;
    case 'redelivered':
      return `redelivered ${record.x}.${record.a} ${record.n ?? 0} ${record.w}`;
    case 'ownership':
      return `ownership ${record.epoch} ${record.node}${record.lost === true ? ' lost' : ''}`;
    case 'calendar':
      return `calendar ${record.name}`;
    default:
      return `${record.k} ${record.id}`;
  }
}
