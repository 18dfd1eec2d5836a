/** Errors on their way to the origin of a session: whatever they say, nobody ends but the session that they are of. */
import { expect, it } from 'vitest'
import { AnswerFormatError } from '../../../src/pipeline/host/grammar/errors.ts'
import { frame, encodeControl } from '../../../src/net/index.ts'
import { HOST } from '../../../src/pipeline/host/protocol.ts'
import type { OriginListener } from '../../../src/pipeline/ring/origins.ts'
import { MAX_TOLD } from '../../../src/pipeline/told.ts'
import { opening, REQUEST, SELF, settled, stageRing } from '../support/ring.ts'
import type { StageRing } from '../support/ring.ts'

/** What the origin of a session hears that is at its own peer alone. */
function failuresOf({ ring }: StageRing): Error[] {
  const failures: Error[] = []
  const ignore = (): void => undefined
  const listener: OriginListener = {
    attempt: 0,
    route: { peers: new Set([SELF]), answering: 0, peerAt: () => SELF },
    opened: ignore,
    rerouted: ignore,
    token: ignore,
    taken: ignore,
    accounted: ignore,
    failed: (_hop, error) => void failures.push(error),
    broken: ignore,
    leaving: ignore,
    lost: ignore,
  }
  ring.listen(REQUEST, 'model', listener)
  return failures
}

it('cuts what is said at any length, half characters included', async () => {
  const where = '\u{1F600}'.repeat(5_000)
  const own = stageRing({}, { host: () => Promise.reject(new AnswerFormatError(`x${where}`, 'is not known')) })
  const failures = failuresOf(own)
  await own.ring.send(SELF, frame(opening()))
  await settled()
  expect(failures).toHaveLength(1)
  expect(failures[0]).toMatchObject({ code: 'WEFT-INF-014' })
  expect(failures[0]!.message).toHaveLength(MAX_TOLD)
})

it('leaves out details that no control map has room for', async () => {
  const huge = Object.assign(new AnswerFormatError('', 'is not known'), { details: { where: 'x'.repeat(1 << 20) } })
  const own = stageRing({}, { host: () => Promise.reject(huge) })
  const failures = failuresOf(own)
  await own.ring.send(SELF, frame(opening()))
  await settled()
  expect(failures[0]).toMatchObject({ message: 'is not known' })
})

it('fails the session alone that a peer tells itself nonsense of', async () => {
  const own = stageRing()
  const failures = failuresOf(own)
  await own.ring.send(SELF, frame(opening()))
  await settled()
  const control = encodeControl({ code: 'WEFT-INF-013', message: 'x'.repeat(MAX_TOLD + 1) })
  own.host.say(frame({ type: HOST.error, request: 1, control }))
  await settled()
  expect(failures).toHaveLength(1)
  expect(failures[0]!.message).toMatch('malformed')
})
