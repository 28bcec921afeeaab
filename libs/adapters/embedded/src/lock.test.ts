import { createHash } from 'node:crypto';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { describe, expect, it } from 'vitest';

import { DataDirLock } from './lock.ts';
import { temporaryFolder } from './test-fixtures.ts';

describe('the lock of a data directory', () => {
  it('is held by one, and free again after the release', () => {
    using folder = temporaryFolder();
    const lock = DataDirLock.acquire(folder.path);
    expect(() => DataDirLock.acquire(folder.path)).toThrow(expect.objectContaining({ code: 'already_running' }));
    lock.release();
    lock.release();
    DataDirLock.acquire(folder.path).release();
    expect(readdirSync(folder.path)).toEqual([]);
  });

  it('is taken from a process that is gone, even if another has its id by now', () => {
    using folder = temporaryFolder();
    for (const left of [`${process.pid} 1 some-earlier-process\n`, 'not what we write']) {
      writeFileSync(path.join(folder.path, 'lock'), left);
      const lock = DataDirLock.acquire(folder.path);
      expect(readFileSync(path.join(folder.path, 'lock'), 'utf8')).not.toBe(left);
      lock.release();
      expect(readdirSync(folder.path)).toEqual([]);
    }
  });

  it('is not given back by one who has lost it', () => {
    using folder = temporaryFolder();
    const file = path.join(folder.path, 'lock');
    const lost = DataDirLock.acquire(folder.path);
    writeFileSync(file, `${process.pid} 1 stale\n`);
    const holder = DataDirLock.acquire(folder.path);
    lost.release();
    expect(readdirSync(folder.path)).toEqual(['lock']);
    holder.release();
  });

  it('is taken over where others died in the middle of that', () => {
    using folder = temporaryFolder();
    const file = path.join(folder.path, 'lock');
    const claimOn = (content: string): string =>
      `${file}.${createHash('sha256').update(content).digest('hex').slice(0, 16)}`;
    const [stale, first, second] = ['999999999 1 stale\n', '999999998 1 first\n', '999999997 1 second\n'];
    writeFileSync(file, stale);
    writeFileSync(claimOn(stale), first);
    writeFileSync(claimOn(first), second);
    const holder = DataDirLock.acquire(folder.path);
    expect(readdirSync(folder.path)).toEqual(['lock']);
    expect(() => DataDirLock.acquire(folder.path)).toThrow(expect.objectContaining({ code: 'already_running' }));
    holder.release();
  });

  it('is taken over though a loss of power has left it and a claim on it empty', () => {
    using folder = temporaryFolder();
    const file = path.join(folder.path, 'lock');
    writeFileSync(file, '');
    writeFileSync(`${file}.${createHash('sha256').update('').digest('hex').slice(0, 16)}`, '');
    DataDirLock.acquire(folder.path).release();
    expect(readdirSync(folder.path)).toEqual([]);
  });

  it('is not taken over while a living process does so', () => {
    using folder = temporaryFolder();
    const file = path.join(folder.path, 'lock');
    const other = DataDirLock.acquire(folder.path);
    const living = readFileSync(file, 'utf8');
    other.release();
    const stale = '999999999 1 stale\n';
    writeFileSync(file, stale);
    const claim = `${file}.${createHash('sha256').update(stale).digest('hex').slice(0, 16)}`;
    writeFileSync(claim, living);
    expect(() => DataDirLock.acquire(folder.path)).toThrow(expect.objectContaining({ code: 'already_running' }));
    expect(readFileSync(file, 'utf8')).toBe(stale);
  });

  it('goes to one of many that find the same stale lock', async () => {
    using folder = temporaryFolder();
    writeFileSync(path.join(folder.path, 'lock'), '999999999 1 stale\n');
    const lockFile = fileURLToPath(new URL('lock.ts', import.meta.url));
    // Says who it is, waits for the word so that all try at once, tries, and holds what it got until it is ended.
    const program = `
      const { DataDirLock } = await import(${JSON.stringify(lockFile)});
      console.log('ready');
      process.stdin.once('data', () => {
        try { DataDirLock.acquire(${JSON.stringify(folder.path)}); console.log('got it'); } catch (error) { console.log(error.code); }
      });`;
    const contenders = Array.from({ length: 6 }, () =>
      spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: ['pipe', 'pipe', 'inherit'] }),
    );
    await Promise.all(contenders.map(({ stdout }) => once(stdout, 'data')));
    const answers = contenders.map(({ stdout }) => once(stdout, 'data'));
    for (const { stdin } of contenders) stdin.write('go\n');
    const said = (await Promise.all(answers)).map(([chunk]) => String(chunk).trim()).sort();
    const ended = contenders.map((contender) => once(contender, 'exit'));
    for (const contender of contenders) contender.kill();
    await Promise.all(ended);
    expect(said).toEqual([...Array.from({ length: 5 }, () => 'already_running'), 'got it']);
  });
});
