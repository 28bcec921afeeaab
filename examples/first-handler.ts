import { Belfry, defineTask, Worker } from '@belfry/sdk';

const url = process.env['BELFRY_NATS_URL'] ?? 'nats://127.0.0.1:4222';
const greet = defineTask<{ name: string }>({ name: 'greet', queue: 'default' });

const worker = new Worker({
  url,
  handlers: [greet.handler(async ({ name }) => console.log(`Hello, ${name}!`))],
});
await worker.start();

const belfry = new Belfry({ url });
await belfry.schedule(greet.task({ every: '5s' }, { name: 'Ann' }));
