/** A node that may own shards. */
export interface PlaceableNode {
  readonly id: string;
  /** Relative size; its cores. */
  readonly weight: number;
}

/**
 * Which node owns which shard: rendezvous hashing with bounded load, moving no more than needed.
 *
 * L1. No node has more than its share by weight, rounded up, beside the shards that are pinned to it.
 * L2. A shard stays where it is while its node is there and within its share.
 * L3. The result depends on the arguments alone.
 * L4. A pinned shard is on its node, if that is there, and moves no other by that.
 *
 * `current[shard]` is the present owner, undefined for none; `pins` says where shards are kept. Returns the owner of each shard; all
 * undefined without nodes.
 */
export function placeShards(
  shards: number,
  nodes: readonly PlaceableNode[],
  current: readonly (string | undefined)[],
  pins: ReadonlyMap<number, string> = new Map(),
): (string | undefined)[] {
  const placed = new Array<string | undefined>(shards).fill(undefined);
  if (nodes.length === 0) return placed;
  const there = new Set(nodes.map(({ id }) => id));
  for (const [shard, node] of pins) if (there.has(node)) placed[shard] = node; // L4
  const weights = nodes.reduce((sum, { weight }) => sum + weight, 0);
  const room = new Map(nodes.map(({ id, weight }) => [id, Math.ceil((shards * weight) / weights)]));
  for (const { id } of nodes) keepBest(id, room, current, placed);
  for (let shard = 0; shard < shards; shard++) {
    if (placed[shard] !== undefined) continue;
    const owner = best(shard, nodes, room);
    placed[shard] = owner;
    room.set(owner, (room.get(owner) as number) - 1);
  }
  return placed;
}

/** Keeps a node's shards, those that prefer it most first, as far as its share goes (L1, L2). */
function keepBest(
  node: string,
  room: Map<string, number>,
  current: readonly (string | undefined)[],
  placed: (string | undefined)[],
): void {
  const own: number[] = [];
  for (let shard = 0; shard < placed.length; shard++) {
    if (current[shard] === node && placed[shard] === undefined) own.push(shard);
  }
  own.sort((a, b) => score(node, b) - score(node, a) || a - b);
  const kept = own.slice(0, room.get(node));
  for (const shard of kept) placed[shard] = node;
  room.set(node, (room.get(node) as number) - kept.length);
}

/** Where a shard goes that shall leave its node: to the node that has the least for its weight. Undefined without another. */
export function chooseAnother(
  shard: number,
  nodes: readonly PlaceableNode[],
  current: readonly (string | undefined)[],
): string | undefined {
  const owned = new Map<string, number>();
  for (const owner of current) if (owner !== undefined) owned.set(owner, (owned.get(owner) ?? 0) + 1);
  const load = ({ id, weight }: PlaceableNode): number => (owned.get(id) ?? 0) / weight;
  const [least] = nodes
    .filter(({ id }) => id !== current[shard])
    .toSorted((a, b) => load(a) - load(b) || score(b.id, shard) - score(a.id, shard));
  return least?.id;
}

function best(shard: number, nodes: readonly PlaceableNode[], room: ReadonlyMap<string, number>): string {
  let owner: string | undefined;
  let highest = -1;
  for (const { id } of nodes) {
    if ((room.get(id) as number) <= 0) continue;
    const preference = score(id, shard);
    if (preference > highest) [owner, highest] = [id, preference];
  }
  // Shares are rounded up, so that there is always room.
  if (owner === undefined) throw new Error('L1: no node has room');
  return owner;
}

/** How much a shard prefers a node: a 32-bit hash (FNV-1a with a final mix). */
function score(node: string, shard: number): number {
  let hash = 0x811c9dc5;
  const text = `${node}/${shard}`;
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
