import { parseExecutionId, parseTaskId, type TaskRef } from '@belfry/protocol';

/** What a word on the command line names: a task's id, an execution (its task), or a key. */
export function taskRef(word: string, asKey = false): TaskRef {
  if (asKey) return { key: word };
  const id = parseTaskId(word) ?? parseExecutionId(word)?.taskId;
  return id === undefined ? { key: word } : { id };
}
