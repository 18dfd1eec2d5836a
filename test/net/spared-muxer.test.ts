import { multiaddrConnectionPair } from '@libp2p/utils'
import { expect, test } from 'vitest'
import { sparedYamux } from '../../src/net/spared-muxer.ts'

/** As a connection is between the loss of its socket and the word of it. */
function closeWriting(connection: object): void {
  Object.assign(connection, { writeStatus: 'closed' })
}

// Vitest fails a run in which an error is caught by nobody, as Node ends a process.

test('a stream that is opened on a connection that closes in the same turn ends with it, and not the process', async () => {
  const [near] = multiaddrConnectionPair()
  const muxer = sparedYamux()().createStreamMuxer(near)
  const opening = muxer.createStream()
  closeWriting(near)
  const stream = await opening
  expect([stream.status, muxer.status, near.status]).toEqual(['aborted', 'closed', 'aborted'])
})

test('so do those on which something still comes in', async () => {
  const [near, far] = multiaddrConnectionPair()
  const muxer = sparedYamux()().createStreamMuxer(near)
  const other = sparedYamux()().createStreamMuxer(far)
  const came = new Promise<void>((resolve) => other.addEventListener('stream', () => resolve(), { once: true }))
  const stream = await muxer.createStream()
  await came
  closeWriting(far)
  for (let sent = 0; sent < 8; sent += 1) stream.send(new Uint8Array(40_000))
  await new Promise((resolve) => far.addEventListener('close', resolve, { once: true }))
  expect([other.status, far.status, other.streams.length]).toEqual(['closed', 'aborted', 0])
})

test('who sends data on it is told', async () => {
  const [near, far] = multiaddrConnectionPair()
  const muxer = sparedYamux()().createStreamMuxer(near)
  sparedYamux()().createStreamMuxer(far)
  const stream = await muxer.createStream()
  await new Promise((resolve) => setImmediate(resolve))
  closeWriting(near)
  expect(() => stream.send(new Uint8Array(8))).toThrow(/Cannot write/)
})
