import { readFileSync } from 'node:fs';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

const ROOT = path.dirname(path.dirname(import.meta.dirname));

describe('package-lock.json', () => {
  it('names no registry: each machine uses its own', () => {
    const lock = readFileSync(path.join(ROOT, 'package-lock.json'), 'utf8');
    expect([...lock.matchAll(/"resolved": "(?!apps\/|libs\/|examples\/|tools\/).*"/g)].map(([line]) => line)).toEqual(
      [],
    );
  });
});
