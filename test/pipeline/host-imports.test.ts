/** What a stage host carries: not the network of a peer, which takes as long to load as all else and 30 MB. */
import { readFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const STATIC = /^(?:import|export)\s+(?!type\b)(?:[^'"]*?\bfrom\s*)?'([^']+)'/gm

/** Packages that are loaded when a file is, and the files on the way to each. */
function packagesOf(entry: string): Map<string, string> {
  const packages = new Map<string, string>()
  const seen = new Set<string>()
  const visit = (file: string): void => {
    if (seen.has(file)) return
    seen.add(file)
    for (const [, specifier] of readFileSync(file, 'utf8').matchAll(STATIC)) {
      if (specifier!.startsWith('.')) visit(resolve(dirname(file), specifier!))
      else if (!specifier!.startsWith('node:')) packages.set(specifier!, file.slice(ROOT.length))
    }
  }
  visit(join(ROOT, entry))
  return packages
}

describe('the program of a stage host', () => {
  it('loads the engine and no libp2p', () => {
    const packages = packagesOf('src/pipeline/host/main.ts')
    expect([...packages.keys()]).toContain('onnxruntime-node')
    expect([...packages].filter(([name]) => /libp2p|chainsafe|fastify|multicast/.test(name))).toEqual([])
  })

  it('would be found out: the network itself loads libp2p', () => {
    expect([...packagesOf('src/net/node.ts').keys()]).toContain('libp2p')
  })
})
