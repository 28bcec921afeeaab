import { describe, expect, it } from 'vitest';

import { Frames } from './frames.ts';

const SAID = [
  'INFO {"server_id":"a"}\r\n',
  'MSG a.b 1 5\r\nhel\r\n\r\n',
  'PING\r\n',
  'MSG work 2 $JS.ACK.S.c.1.2.3.4.5 0\r\n\r\n',
  'HMSG a.b 1 _INBOX.x 12 14\r\nNATS/1.0\r\n\r\nok\r\n',
  'HMSG work 2 $JS.ACK.S.c.1.2.3.4.5 12 12\r\nNATS/1.0\r\n\r\n\r\n',
  'MSG PING 1 _INBOX.y 6\r\nPING\r\n\r\n',
];

describe('what a NATS server says', () => {
  it.each([1, 2, 7, 1_000])('is cut into its frames, %i bytes at a time', (size) => {
    const whole = Buffer.from(SAID.join(''));
    const frames = new Frames();
    const found = Array.from({ length: Math.ceil(whole.length / size) }, (_, at) =>
      frames.add(whole.subarray(at * size, (at + 1) * size)),
    ).flat();
    expect(found.map(({ bytes }) => bytes.toString())).toEqual(SAID);
    expect(found.map(({ isMessage }) => isMessage)).toEqual([false, true, false, true, true, true, true]);
    expect(found.map(({ isDelivery }) => isDelivery)).toEqual([false, false, false, true, false, true, false]);
  });
});
