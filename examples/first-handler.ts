import { Belfry, defineTask, Worker } from '@belfry/sdk';

const greet = defineTask<{ name: string }>({ name: 'greet', queue: 'greetings' });

const worker = new Worker({ handlers: [greet.handler(({ payload }) => console.log(`Hello, ${payload.name}!`))] });
await worker.start();

const belfry = new Belfry();
await belfry.schedule(greet, { every: '5s', key: 'greet-ann', payload: { name: 'Ann' } });
