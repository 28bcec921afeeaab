import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { natsAddress } from './address.ts';

describe('the address', () => {
  let folder: string;
  beforeEach(() => (folder = mkdtempSync(path.join(tmpdir(), 'belfry-address-'))));
  afterEach(() => rmSync(folder, { recursive: true }));

  const devFile = (text: string): void => {
    mkdirSync(path.join(folder, '.belfry'), { recursive: true });
    writeFileSync(path.join(folder, '.belfry', 'dev.json'), text);
  };

  it('is the one that is given, else the environment’s', () => {
    expect(natsAddress('nats://a', { BELFRY_NATS_URL: 'nats://b' }, folder)).toBe('nats://a');
    expect(natsAddress(undefined, { BELFRY_NATS_URL: 'nats://b' }, folder)).toBe('nats://b');
  });

  it('is else that of the Belfry that runs in a folder above', () => {
    devFile(JSON.stringify({ natsUrl: 'nats://c', pid: process.pid }));
    const below = path.join(folder, 'x', 'y');
    mkdirSync(below, { recursive: true });
    expect(natsAddress(undefined, {}, below)).toBe('nats://c');
  });

  it('is none when that Belfry does not run any more, or its file is none', () => {
    devFile(JSON.stringify({ natsUrl: 'nats://c', pid: 2 ** 22 + 1 }));
    expect(() => natsAddress(undefined, {}, folder)).toThrow(/does not run/);
    devFile('{');
    expect(() => natsAddress(undefined, {}, folder)).toThrow(/does not hold a natsUrl/);
  });

  it('that is nowhere is asked for', () => {
    expect(() => natsAddress(undefined, {}, folder)).toThrow(expect.objectContaining({ code: 'unavailable' }));
    expect(() => natsAddress(undefined, {}, folder)).toThrow(/BELFRY_NATS_URL/);
  });
});
