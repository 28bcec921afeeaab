import { checkpointStoreConformance } from './checkpoint-store.conformance.ts';
import { MemoryCheckpointStore } from './memory-checkpoint-store.ts';

checkpointStoreConformance('memory', () => {
  const store = new MemoryCheckpointStore({ shards: 8 });
  const history = async (task: string) =>
    [0, 1, 2, 3, 4, 5, 6, 7].flatMap((shard) => store.history(shard)).filter((row) => row.task === task);
  return Promise.resolve({ store, other: store, history, dispose: () => Promise.resolve() });
});
