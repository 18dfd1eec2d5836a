/**
 * What others on the machine could read or change of a home, if its folder were opened: nothing. Two real peers that were started
 * with a mask of 000 import, deploy and answer in a cluster; then each file and folder is looked at.
 */
import { mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { foundClusterHomes } from '../peer/support/cluster-homes.ts'
import { answer, createLab, endProcess, greedy, joined, placement, TINY } from './support.ts'
import type { Lab } from './support.ts'

const ARGUMENTS = ['--lan', 'off', '--journal']
const OPEN = ['sh', '-c', 'umask 000; exec "$0" "$@"']
// What is compiled lies in the home, as it does for users: its folder is looked at too.
delete process.env['NODE_COMPILE_CACHE']

/** Made by Node itself, in a folder of mode 0700. */
const NODES_OWN = join('cache', 'code')

/** Paths below `folder` that somebody else than its owner may do something with. */
function loose(folder: string): string[] {
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' })
  return names.filter((name) => !name.startsWith(`${NODES_OWN}/`) && (statSync(join(folder, name)).mode & 0o077) !== 0)
}

describe.skipIf(process.platform === 'win32')('a home in use', () => {
  let lab: Lab
  beforeAll(async () => {
    lab = await createLab()
  })
  afterAll(() => lab.stop())

  it('holds no file and no folder that others may read, list or change, under any mask', async () => {
    const members = ['a', 'b'].map((name) => ({ name, role: 'member' as const }))
    await foundClusterHomes(join(lab.home('a'), '..'), members)
    const a = await lab.start('a', ARGUMENTS, OPEN)
    const b = await lab.start('b', [...ARGUMENTS, '--bootstrap', a.addresses[0]!], OPEN)
    await joined([a, b])
    await a.access.importModel({ source: TINY, name: 'tiny', measure: 'never' }, () => undefined)
    const stages = placement('tiny', [
      [a, 0, 4],
      [b, 4, 8],
    ])
    await a.access.deploy('tiny', stages, () => undefined)
    expect((await answer(a, greedy('tiny', 4))).error).toBeUndefined()
    await Promise.all([a, b].map(({ child }) => endProcess(child)))
    const there = readdirSync(a.home, { recursive: true, encoding: 'utf8' })
    for (const name of [
      'state/mesh.json',
      'state/audit.db',
      'peers/address-book.json',
      'partitions/tiny.json',
      'store/blobs',
    ])
      expect(there).toContain(name)
    expect({ a: loose(a.home), b: loose(b.home) }).toEqual({ a: [], b: [] })
    // the control: what is made without a thought is found
    const mask = process.umask(0)
    mkdirSync(join(a.home, 'state', 'open'))
    writeFileSync(join(a.home, 'state', 'open', 'file'), '')
    process.umask(mask)
    expect(loose(a.home)).toEqual(['state/open', 'state/open/file'])
  }, 600_000)
})
