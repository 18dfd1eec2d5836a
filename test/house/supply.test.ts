/** E16: what gets in with an update of packages is red here; each kind of it, put into the real lock file, is the control. */
import { describe, expect, test } from 'vitest'
import { read } from './repository.ts'
import { supplyBreaches } from './supply.ts'
import type { Lock } from './supply.ts'

const lock = JSON.parse(read('package-lock.json')) as Lock
const declared = JSON.parse(read('package.json')) as Parameters<typeof supplyBreaches>[1]
/** Names beside one of ours that were looked at: they are other packages. */
const KNOWN = new Set<string>([])

const HASH = `sha512-${'A'.repeat(86)}==`
type Entry = Record<string, unknown>
function withPackage(path: string, entry: Entry): Lock {
  return { packages: { ...lock.packages, [path]: { version: '1.0.0', integrity: HASH, ...entry } } }
}

describe('the supply chain', () => {
  test('has nothing in the lock file that was not decided', () => {
    expect(supplyBreaches(lock, declared, KNOWN)).toEqual([])
  })

  test.each<[string, Lock, RegExp]>([
    ['an install script', withPackage('node_modules/left-pad', { hasInstallScript: true }), /runs something/],
    [
      'an install script deep inside',
      withPackage('node_modules/zod/node_modules/x', { hasInstallScript: true }),
      /runs something/,
    ],
    ['no hash', withPackage('node_modules/left-pad', { integrity: undefined }), /has no hash/],
    [
      'a weak hash',
      withPackage('node_modules/left-pad', { integrity: 'sha1-2jmj7l5rSw0yVb/vlWAYkK/YBwk=' }),
      /has no hash/,
    ],
    [
      'a place of its own',
      withPackage('node_modules/left-pad', { resolved: 'git+ssh://example.org/x.git' }),
      /a place of its own/,
    ],
    ['a link', withPackage('node_modules/left-pad', { link: true }), /is a link/],
    ['a letter left out', withPackage('node_modules/libp2', {}), /looks like libp2p/],
    ['letters turned round', withPackage('node_modules/vitset', {}), /looks like vitest/],
    ['a sign exchanged', withPackage('node_modules/onnxruntime_node', {}), /looks like onnxruntime-node/],
    [
      'many more packages',
      {
        packages: {
          ...lock.packages,
          ...Object.fromEntries(
            Array.from({ length: 40 }, (_, n) => [`node_modules/made-up-${n}`, { integrity: HASH }]),
          ),
        },
      },
      /packages, \d+ are the most/,
    ],
    [
      'another version than is declared',
      {
        packages: {
          ...lock.packages,
          '': { ...lock.packages['']!, dependencies: { ...lock.packages['']!.dependencies, zod: '99.0.0' } },
        },
      },
      /not in the lock file as it is declared/,
    ],
  ])('is red with %s', (_what, changed, why) => {
    expect(supplyBreaches(changed, declared, KNOWN).join('\n')).toMatch(why)
  })
})
