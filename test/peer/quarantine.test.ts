import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { PeerQuarantinedError } from '../../src/peer/errors.ts'
import { Quarantine } from '../../src/peer/quarantine.ts'
import type { AuditEvidence } from '../../src/pipeline/index.ts'
import { systemClock } from '../../src/util/index.ts'

const DAY = 86_400_000

function evidence(peer: string, position = 9): AuditEvidence {
  const hex = (byte: string): string => byte.repeat(32)
  return {
    peer,
    reason: 'rows',
    origin: 'o',
    session: 5,
    attempt: 0,
    model: hex('ab'),
    from: 1,
    to: 4,
    position,
    count: 1,
    input: hex('cd'),
    output: hex('ef'),
    kernel: 'k',
    signature: hex('2323'),
    expected: hex('01'),
    by: ['x', 'y'],
  }
}

describe('quarantine', () => {
  let directory: string
  let wall: number
  const lines: string[] = []
  const clock = { ...systemClock(), wall: () => wall }
  const open = (): Promise<Quarantine> => Quarantine.open(directory, clock, (line) => lines.push(line))

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'weft-quarantine-'))
    wall = 1_800_000_000_000
    lines.length = 0
  })

  afterEach(() => rm(directory, { recursive: true, force: true }))

  it('is kept over a restart, with its evidence, until its end', async () => {
    const before = await open()
    before.add(evidence('liar'))
    before.add(evidence('liar', 12))
    await before.settled()
    const after = await open()
    expect(after.list()).toMatchObject([
      { peer: 'liar', since: wall, until: wall + 7 * DAY, evidence: [{ position: 9 }, { position: 12 }] },
    ])
    expect(after.list()[0]!.reason).toContain('row 12')
    expect(() => after.refuse(['honest', 'liar'])).toThrow(PeerQuarantinedError)
    expect(() => after.refuse(['honest'])).not.toThrow()
    wall += 7 * DAY
    expect(after.has('liar')).toBe(false)
    expect(after.list()).toEqual([])
    expect((await open()).has('liar')).toBe(false)
  })

  it('is lifted by a person, for good', async () => {
    const quarantine = await open()
    quarantine.add(evidence('liar'))
    expect(await quarantine.lift('liar')).toBe(true)
    expect(await quarantine.lift('liar')).toBe(false)
    expect((await open()).has('liar')).toBe(false)
  })

  it('has bounds: the oldest peers, and the oldest evidence of a peer, make room', async () => {
    const quarantine = await open()
    for (let peer = 0; peer < 300; peer++) quarantine.add(evidence(`p${peer}`))
    for (let times = 0; times < 9; times++) quarantine.add(evidence('p299', times))
    await quarantine.settled()
    const again = await open()
    expect(again.list().length).toBe(256)
    expect(again.has('p0')).toBe(false)
    expect(
      again
        .list()
        .at(-1)!
        .evidence.map(({ position }) => position),
    ).toEqual([5, 6, 7, 8])
  })

  it.each([
    ['no JSON', '{'],
    ['another schema', '{"schema":"weft.quarantine/2","peers":[]}'],
    ['a signature that is none', undefined],
  ])('a damaged file keeps nobody out and says so: %s', async (_what, text) => {
    const quarantine = await open()
    quarantine.add(evidence('liar'))
    await quarantine.settled()
    const path = join(directory, 'quarantine.json')
    const whole = await readFile(path, 'utf8')
    await writeFile(path, text ?? whole.replace('23232323', 'zz232323'))
    expect((await open()).list()).toEqual([])
    expect(lines.length).toBe(1)
  })
})
