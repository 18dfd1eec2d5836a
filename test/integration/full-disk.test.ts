/**
 * R11: the disk of a running peer of a private cluster becomes full, under everything that it writes. It serves on, refuses what
 * it cannot keep by code, and does all of it when there is room again, without being started anew.
 */
import { execFileSync } from 'node:child_process'
import { closeSync, openSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { json, weft } from '../cli/support.ts'
import { canWatch } from '../durability/suite.ts'
import { plan } from '../federated/support/hospitals.ts'
import { isLong } from '../whole.ts'
import { answer, codeOf, createLab, greedy, joined, placement, TINY } from './support.ts'
import type { Lab } from './support.ts'

// What is compiled lies on the disk that becomes full, as it does for users.
delete process.env['NODE_COMPILE_CACHE']

const LENGTH = 32
const SOURCE = fileURLToPath(new URL('../durability/disk.c', import.meta.url))
const INVITE = { role: 'member', site: '', lifetime: 3_600_000, uses: 1, approve: false } as const

describe.runIf(isLong)(`a disk that becomes full under a peer${canWatch ? '' : ' (skipped: no C compiler)'}`, () => {
  let lab: Lab
  let control: number

  beforeAll(async () => void (lab = await createLab()))
  afterAll(async () => {
    await lab.stop()
    if (control !== undefined) closeSync(control)
  })

  /** How many changes of the disk still find room; -1: all. */
  const setRoom = (changes: number): void =>
    void writeSync(control, new Uint8Array(BigInt64Array.of(BigInt(changes)).buffer), 0, 8, 0)

  const documented = async (name: string, ...args: readonly string[]): Promise<Record<string, unknown>> =>
    json((await weft([...args, '--home', lab.home(name), '--json'])).stdout)

  it.skipIf(!canWatch)('serves on, refuses by code what cannot be kept, and does it when there is room', async () => {
    await documented('a', 'cluster', 'create', 'northwind', '--name', 'a', '--site', 'hq')
    const [library, file] = [join(lab.home('a'), 'disk.so'), join(lab.home('a'), 'control')]
    execFileSync('cc', ['-O2', '-shared', '-fPIC', '-o', library, SOURCE, '-ldl', '-lpthread'])
    writeFileSync(file, new Uint8Array(16))
    control = openSync(file, 'r+')
    setRoom(-1)
    const watched = [`LD_PRELOAD=${library}`, `WEFT_DISK_ROOT=${lab.home('a')}`, `WEFT_DISK_CONTROL=${file}`]
    const a = await lab.start('a', [], ['env', 'UV_USE_IO_URING=0', ...watched])
    const invite = async (): Promise<string> => (await documented('a', 'invite', 'create'))['token'] as string
    const joins = (name: string, token: string): Promise<Record<string, unknown>> =>
      documented(name, 'join', token, '--name', name)
    expect(await joins('b', await invite())).toMatchObject({ schema: 'weft.joined/1' })
    const token = await invite()
    const b = await lab.start('b')
    await joined([a, b])
    await a.access.importModel({ source: TINY, name: 'tiny' }, () => undefined)
    const stages = placement('tiny', [
      [a, 0, 1],
      [b, 1, 7],
      [a, 7, 8],
    ])
    await a.access.deploy('tiny', stages, () => undefined)
    const expected = await answer(a, greedy('tiny', LENGTH))
    expect(expected.error).toBeUndefined()

    const attempts: readonly (readonly [what: string, code: string, attempt: () => Promise<unknown>, done: object])[] =
      [
        [
          'an invite',
          'WEFT-TRU-161',
          () => a.access.cluster({ do: 'invite', ...INVITE }),
          { schema: 'weft.invite/1', uses: 1 },
        ],
        [
          'a removal',
          'WEFT-TRU-113',
          () => a.access.cluster({ do: 'rotate' }),
          { schema: 'weft.cluster-changed/1', epoch: 2 },
        ],
        [
          'a model',
          'WEFT-STO-007',
          () => a.access.importModel({ source: TINY, name: 'again' }, () => undefined),
          { model: 'again', blocks: 8 },
        ],
        [
          'a job',
          'WEFT-STO-007',
          () => a.access.federated({ op: 'create', plan: plan() }),
          { schema: 'weft.fed-created/1', author: a.id },
        ],
      ]
    setRoom(0)
    const whileFull = await answer(a, greedy('tiny', LENGTH))
    expect([whileFull.error, whileFull.ids]).toEqual([undefined, expected.ids])
    for (const [what, code, attempt] of attempts) {
      const error = await attempt().then(
        () => 'done',
        (thrown: unknown) => thrown,
      )
      expect(codeOf(error), what).toBe(code)
      expect((error as { details: object }).details, what).toMatchObject({ free: expect.any(Number) as number })
    }
    expect(await joins('c', token)).toMatchObject({ schema: 'weft.error/1', error: { code: 'WEFT-TRU-161' } })
    expect((await a.access.status()).cluster?.members).toBe(2)
    expect((await answer(a, greedy('tiny', LENGTH))).ids).toEqual(expected.ids)

    setRoom(-1)
    for (const [what, , attempt, done] of attempts) expect(await attempt(), what).toMatchObject(done)
    expect(await a.access.models()).toContainEqual(expect.objectContaining({ model: 'again' }))
    // the same invite, which nobody has used up
    expect(await joins('c', token)).toMatchObject({ schema: 'weft.joined/1', members: 3 })
    expect(await joins('d', token)).toMatchObject({ error: { code: 'WEFT-TRU-153' } })
    expect((await answer(a, greedy('tiny', LENGTH))).ids).toEqual(expected.ids)
    expect([a.child.exitCode, a.child.signalCode]).toEqual([null, null])
  })
})
