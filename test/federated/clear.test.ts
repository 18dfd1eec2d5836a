/** Rounds without secure sums: how coordinates cross in the clear, with peers of this version and of the one before. */
import { rmSync } from 'node:fs'
import { expect, test } from 'vitest'
import {
  areSingle,
  clearBytes,
  contributionBytes,
  inSingle,
  readContribution,
} from '../../src/federated/rounds/layout.ts'
import { areOver, createFleet, PATIENT } from './support/fleet.ts'
import type { Fleet, Member } from './support/fleet.ts'
import { hospitalRows, plan, temporaryFolder } from './support/hospitals.ts'

const ROWS = [hospitalRows(1, 60), hospitalRows(2, 45, 4), hospitalRows(3, 30, -5), hospitalRows(4, 50, 8)]
/** 7 inputs, 4 hidden units, 1 output. */
const PARAMETERS = 7 * 4 + 4 + 4 + 1
const WIDE = 3 * 16

test('a coordinate is rounded once to the nearest float32 and crosses as it is', () => {
  const shape = { reals: 5, wide: 1 }
  const made = inSingle({ reals: Float64Array.of(0.1, -1 / 3, 0, 3e38, 2 ** -149), wide: [-5n << 70n] })
  expect(areSingle([made])).toBe(true)
  for (const format of ['float32', 'float64'] as const) {
    const bytes = contributionBytes(made, format)
    expect(bytes.length).toBe(clearBytes(shape, format))
    expect(readContribution(bytes, shape, format)).toEqual(made)
  }
  expect(clearBytes(shape, 'float32')).toBe(5 * 4 + 16)
})

test('one beyond the range of float32 is neither cut nor made infinite: all of that contribution stays float64', () => {
  const made = { reals: Float64Array.of(0.1, 4e38), wide: [] }
  expect(inSingle(made)).toEqual(made)
  expect(areSingle([inSingle(made)])).toBe(false)
})

interface Sent {
  readonly kind: string
  readonly bytes: number
}

/** A round after that of the statistics, and what crossed of it. @param isOld who knows float64 alone */
async function rounds(
  changes: object,
  isOld: (member: Member) => boolean = () => false,
): Promise<{ fleet: Fleet; sent: readonly Sent[]; stop: () => Promise<void> }> {
  const folder = temporaryFolder()
  const sent: Sent[] = []
  const fleet = await createFleet({
    folder,
    plan: plan({ secagg: 'off', rounds: 3, ...changes }),
    rows: ROWS,
    times: { ...PATIENT, coordinator: { ...PATIENT.coordinator, graceMs: 20_000 } },
    onMessage(from, to, kind, body, payload) {
      // What a version says that the other does not know is not heard.
      if (isOld(from) || isOld(to)) delete (body as { float32?: boolean }).float32
      if (from.standing.current.state.pooled !== null) sent.push({ kind, bytes: payload.length })
    },
  })
  await areOver(fleet.members)
  return {
    fleet,
    sent,
    stop: async () => {
      await fleet.stop()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

const sizes = (sent: readonly Sent[], kind: string): number[] => [
  ...new Set(sent.flatMap((one) => (one.kind === kind ? [one.bytes] : []))),
]

test('contributions and their sum take 4 bytes a coordinate, and the log of rounds says so', async () => {
  const { fleet, sent, stop } = await rounds({})
  try {
    expect(sizes(sent, 'plain')).toEqual([4 * PARAMETERS + WIDE])
    expect(sizes(sent, 'result')).toEqual([4 * PARAMETERS + WIDE])
    const applied = fleet.members[0]!.log.filter(({ event }) => event === 'applied')
    expect(applied.slice(1).map(({ facts }) => facts['bytes'])).toEqual(
      applied.slice(1).map(() => 4 * PARAMETERS + WIDE),
    )
  } finally {
    await stop()
  }
})

test('where each update is seen, all of them cross as float32 too', async () => {
  const { sent, stop } = await rounds({ strategy: { name: 'median' } })
  try {
    expect(sizes(sent, 'result')).toEqual([4 * (4 * PARAMETERS + WIDE)])
  } finally {
    await stop()
  }
})

test('a peer that knows float64 alone is understood as a member and as an aggregator, and all sign the same', async () => {
  const { fleet, sent, stop } = await rounds({}, ({ site }) => site === 'site-1')
  try {
    expect(sizes(sent, 'result')).toEqual([8 * PARAMETERS + WIDE])
    const plain = sizes(sent, 'plain')
    expect(plain).toContain(8 * PARAMETERS + WIDE)
    // Members of this version answer an aggregator of this version in their own form: it tells them apart.
    expect([...plain].every((bytes) => bytes === 8 * PARAMETERS + WIDE || bytes === 4 * PARAMETERS + WIDE)).toBe(true)
    expect(fleet.members.flatMap(({ log }) => log.filter(({ event }) => event === 'certificate.odd'))).toEqual([])
  } finally {
    await stop()
  }
})

test('the model is the same to float32 whichever form its rounds had', async () => {
  const ends = await Promise.all([rounds({}), rounds({}, () => true)])
  try {
    const [now, before] = ends.map(({ fleet }) => [...fleet.members[0]!.standing.current.state.global])
    for (const [index, value] of now!.entries()) expect(value).toBeCloseTo(before![index]!, 6)
  } finally {
    for (const { stop } of ends) await stop()
  }
})
