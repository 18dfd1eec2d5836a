/** A pipe that ends by whatever its transport says is a loss: the member goes to somebody else, and stays in the job. */
import { expect, test } from 'vitest'
import { pipeOver } from '../../src/federated/index.ts'
import { isLoss } from '../../src/federated/rounds/wire.ts'
import { systemClock } from '../../src/util/index.ts'
import { channelPair } from './support/sites.ts'

test.each(['The stream has been reset', 'The stream has been aborted'])('"%s" is a loss', async (words) => {
  const [left, right] = channelPair('left', 'right')
  const pipe = pipeOver(systemClock(), left)
  const reading = pipe.next(5000).then(
    () => undefined,
    (error: unknown) => error,
  )
  left.abort(new Error(words))
  right.abort(new Error(words))
  expect(isLoss(await reading)).toBe(true)
  const sending = await pipe.send('advertise').then(
    () => undefined,
    (error: unknown) => error,
  )
  expect(isLoss(sending)).toBe(true)
})

test('a message that cannot be written is no loss: the member would begin with it again and again', async () => {
  const [left] = channelPair('left', 'right')
  const endless: { self?: object } = {}
  endless.self = endless
  const error = await pipeOver(systemClock(), left)
    .send('advertise', endless)
    .then(
      () => undefined,
      (reason: unknown) => reason,
    )
  expect(error).toBeInstanceOf(Error)
  expect(isLoss(error)).toBe(false)
})
