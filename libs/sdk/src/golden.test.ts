import { GOLDEN } from '@belfry/protocol/testing';
import { describe, expect, it } from 'vitest';

import { readWorkMessages } from './run.ts';

const read = (text: string) => readWorkMessages(Buffer.from(text));

describe('a worker of this version', () => {
  it('reads the work messages of all servers since the first', () => {
    expect(read(GOLDEN.work.single)).toMatchObject([{ attempt: 1, handler: 'send', payload: 'one', metadata: {} }]);
    expect(read(GOLDEN.work.parcel)).toMatchObject([{ payload: 'two' }, { payload: 'three' }]);
  });

  it('passes over what a later server adds', () => {
    const added = JSON.stringify({ ...(JSON.parse(GOLDEN.work.single) as object), later: { a: 1 } });
    expect(read(added)).toMatchObject([{ payload: 'one', later: { a: 1 } }]);
  });

  it('does not take for work what is of a version that it does not know', () => {
    expect(read(GOLDEN.work.single.replace('"v":1', '"v":2'))).toBeUndefined();
  });
});
