import type { InboxAppend } from '@belfry/ports';

import { encodeTexts } from './encode-text.ts';

const LINE_FEED = 10;

/** What a bundle's first line says, as JSON: each part's shard and bytes, in turn. The bodies follow, one after the other. */
interface Head {
  readonly v: 1;
  readonly parts: readonly number[];
}

export interface BundlePart {
  readonly shard: number;
  readonly body: Uint8Array;
}

/** Messages of several shards as the body of one. `bytes` has the length of each message's body in UTF-8. */
export function encodeBundle(messages: readonly InboxAppend[], bytes: readonly number[]): Uint8Array {
  const head: Head = { v: 1, parts: messages.flatMap(({ shard }, at) => [shard, bytes[at] as number]) };
  return encodeTexts([`${JSON.stringify(head)}\n`, ...messages.map(({ body }) => body)]);
}

/** Undefined for what is no bundle that this program can read. */
export function decodeBundle(data: Uint8Array): BundlePart[] | undefined {
  const end = data.indexOf(LINE_FEED);
  const head = end < 0 ? undefined : readHead(data.subarray(0, end));
  if (head === undefined) return undefined;
  const parts: BundlePart[] = [];
  let at = end + 1;
  for (let i = 0; i < head.parts.length; i += 2) {
    const next = at + (head.parts[i + 1] as number);
    parts.push({ shard: head.parts[i] as number, body: data.subarray(at, next) });
    at = next;
  }
  return at === data.length ? parts : undefined;
}

function readHead(line: Uint8Array): Head | undefined {
  let head: Partial<Head> | null;
  try {
    head = JSON.parse(new TextDecoder().decode(line)) as Partial<Head> | null;
  } catch {
    return undefined;
  }
  if (head?.v !== 1 || !Array.isArray(head.parts) || head.parts.length % 2 !== 0) return undefined;
  const whole = (head.parts as readonly unknown[]).every((part) => Number.isSafeInteger(part) && (part as number) >= 0);
  return whole ? (head as Head) : undefined;
}
