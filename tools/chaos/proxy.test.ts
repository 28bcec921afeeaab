import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { lackOf, Proxy } from './proxy.ts';

let echo: Server;
let proxy: Proxy;
let heard: string;
const clients: Socket[] = [];

beforeEach(async () => {
  heard = '';
  echo = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.on('data', (chunk) => {
      heard += chunk.toString();
      socket.write(chunk);
    });
  });
  echo.listen(0, '127.0.0.1');
  await once(echo, 'listening');
  proxy = await Proxy.start((echo.address() as AddressInfo).port);
});

afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy();
  await proxy.close();
  echo.close();
});

async function open(): Promise<Socket> {
  const client = connect(proxy.port, '127.0.0.1');
  client.on('error', () => undefined);
  clients.push(client);
  await once(client, 'connect');
  return client;
}

/** However it ends. */
function closed(client: Socket): Promise<void> {
  return new Promise((resolve) => client.once('close', () => resolve()));
}

async function said(client: Socket, text: string): Promise<string> {
  client.write(text);
  const [chunk] = (await once(client, 'data')) as [Buffer];
  return chunk.toString();
}

describe('a proxy', () => {
  it('passes both ways', async () => {
    expect(await said(await open(), 'hello')).toBe('hello');
  });

  it('keeps the order when a delay ends', async () => {
    const client = await open();
    await said(client, 'x');
    let answer = '';
    client.on('data', (chunk: Buffer) => (answer += chunk.toString()));
    proxy.set('pass', 50);
    client.write('slow ');
    await new Promise((resolve) => setImmediate(resolve));
    while (proxy.effect.delayed === 0) await new Promise((resolve) => setImmediate(resolve));
    proxy.set('pass');
    client.write('fast');
    while (!answer.includes('fast')) await once(client, 'data');
    expect(answer).toBe('slow fast');
  });

  it('breaks what is there and refuses what comes', async () => {
    const client = await open();
    await said(client, 'hello');
    proxy.set('refuse');
    await closed(client);
    expect(lackOf('refuse', 0, [proxy.effect])).toBeUndefined();
    const next = connect(proxy.port, '127.0.0.1');
    next.on('error', () => undefined);
    await closed(next);
  });

  it('lets a client speak that hears nothing', async () => {
    const client = await open();
    await said(client, 'hello');
    proxy.set('deaf');
    client.write(' again');
    while (heard !== 'hello again') await new Promise((resolve) => setImmediate(resolve));
    expect(lackOf('mute', 0, [proxy.effect])).toBe('nothing that it said was held back');
    // What it did not hear is lost for good: healed, the connection is broken.
    while (proxy.losses === 0) await new Promise((resolve) => setImmediate(resolve));
    expect([lackOf('deaf', 0, [proxy.effect]), proxy.effect.fromServer]).toEqual([undefined, ' again'.length]);
    proxy.set('pass');
    await closed(client);
    expect(await said(await open(), 'new')).toBe('new');
  });
});

describe('weather between a NATS server and its client', () => {
  const message = (text: string, reply = ''): string => `MSG a 1 ${reply}${text.length}\r\n${text}\r\n`;

  async function heardOf(frames: readonly string[], expected: number): Promise<string> {
    const client = await open();
    let back = '';
    client.on('data', (chunk: Buffer) => (back += chunk.toString()));
    client.write(frames.join(''));
    while (back.length < expected) await once(client, 'data');
    return back;
  }

  it('gives requests and answers twice, and what a stream delivers once', async () => {
    proxy.setWeather({ delayed: 0, delayMs: 1, doubled: 1, random: () => 0 });
    const frames = [message('one'), 'PING\r\n', message('two', '$JS.ACK.S.c.1.2.3.4.5 ')];
    const whole = frames.join('').length + message('one').length;
    const back = await heardOf(frames, whole);
    expect(back.length).toBe(whole);
    expect(frames.map((one) => back.split(one).length - 1)).toEqual([2, 1, 1]);
  });

  it('lets messages overtake those that are delayed, each of them whole', async () => {
    const lots = [0, 0.5, 0.9]; // the first is delayed, by half of the longest; the second is not
    proxy.setWeather({ delayed: 0.5, delayMs: 20, doubled: 0, random: () => lots.shift() ?? 0.9 });
    const frames = [message('late'), message('soon')];
    expect(await heardOf(frames, frames.join('').length)).toBe(message('soon') + message('late'));
  });

  it('breaks the connections that were there before', async () => {
    const client = await open();
    await said(client, 'hello');
    proxy.setWeather({ delayed: 0, delayMs: 1, doubled: 0, random: () => 0 });
    await closed(client);
    expect(await said(await open(), 'PING\r\n')).toBe('PING\r\n');
  });
});
