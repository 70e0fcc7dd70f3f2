// SPDX-License-Identifier: Apache-2.0
// Queue to HTTP with amqplib and undici: POST each message as it is, acknowledge it when the answer is a 2xx.
// usage: node bridge.js AMQP-URL QUEUE HTTP-URL CONCURRENCY PREFETCH; SIGTERM ends it. No more requests run at once than
// there are connections; undici lets the others wait.
'use strict';

const amqp = require('amqplib');
const { Pool } = require('undici');

async function main(amqpUrl, queue, httpUrl, concurrency, prefetch) {
  const { origin, pathname } = new URL(httpUrl);
  const pool = new Pool(origin, { connections: concurrency, pipelining: 1 });
  const connection = await amqp.connect(amqpUrl);
  const channel = await connection.createChannel();

  async function deliver(message) {
    const response = await pool.request({
      path: pathname,
      method: 'POST',
      body: message.content,
      headers: { 'content-type': 'application/json' },
    });
    await response.body.dump();
    if (response.statusCode < 200 || response.statusCode > 299) {
      throw new Error(`status ${response.statusCode}`);
    }
    channel.ack(message);
  }

  process.once('SIGTERM', async () => {
    await connection.close();
    await pool.close();
  });
  await channel.prefetch(prefetch);
  await channel.consume(queue, deliver); // a delivery that fails ends the process: a benchmark has nothing to rescue
}

const [amqpUrl, queue, httpUrl, concurrency, prefetch] = process.argv.slice(2);
main(amqpUrl, queue, httpUrl, Number(concurrency), Number(prefetch));
