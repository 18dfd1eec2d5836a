/** Hosts in network namespaces (shared/netlab), where they can be had: root and Linux only. */
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const NETLAB = fileURLToPath(new URL('../../../shared/netlab/netlab', import.meta.url))

export interface Netlab {
  /** Why there is none; undefined where there is. */
  readonly why: string | undefined
  readonly netlab: (...args: string[]) => void
  /** Command that runs another one on a host, from 1, or at the switch between them. */
  readonly on: (host: number | 'hub') => string[]
}

/** @param name tells labs of test files apart that run at once */
export function netlabFor(name: string): Netlab {
  const lab = `weft${name}${process.pid % 10_000}`
  return {
    why: obstacle(),
    netlab: (...args) => void execFileSync(NETLAB, args, { env: { ...process.env, NETLAB: lab }, stdio: 'pipe' }),
    on: (host) => ['ip', 'netns', 'exec', `${lab}-${host}`],
  }
}

function obstacle(): string | undefined {
  if (!existsSync(NETLAB)) return 'shared/netlab is not here'
  if (process.getuid?.() !== 0) return 'network namespaces need root'
  for (const tool of ['ip', 'cc', 'awk']) {
    if (spawnSync('sh', ['-c', `command -v ${tool}`]).status !== 0) return `${tool} is not installed`
  }
  return spawnSync('unshare', ['-n', 'true']).status === 0 ? undefined : 'network namespaces are not allowed here'
}
