/** Checks of the machine: runtime, engine, memory, disk. */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { statfs } from 'node:fs/promises'
import { freemem, totalmem } from 'node:os'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { reasonOf } from '../errors.ts'
import { formatBytes } from '../format.ts'
import { fail, ok, warn } from './finding.ts'
import type { Check } from './finding.ts'

const GIB = 2 ** 30
/** Below this a small model and its context do not fit beside the system. */
const MEMORY_LOW = GIB / 2
/** Weights, their pre-packed copies and the logs of one small model. */
const DISK_LOW = 2 * GIB
const DISK_EMPTY = GIB / 8
const ENGINE_MS = 20_000

export const checkNode: Check = () => {
  const { node } = process.versions
  const [major = 0, minor = 0] = node.split('.').map(Number)
  const good = major > 22 || (major === 22 && minor >= 18)
  const old = fail('node', `node ${node} is too old`, 'install Node.js 24, or at least 22.18')
  return Promise.resolve([good ? ok('node', `node ${node}`) : old])
}

/** In a child: a native library that does not fit this machine may end the process that loads it. */
export const checkEngine: Check = async ({ signal }) => {
  const script =
    "const o=require('onnxruntime-node');" +
    "const v=o.env?.versions?.node??'';const b=o.listSupportedBackends?.().map(x=>x.name).join(', ')??'cpu';" +
    "console.log(v+'|'+b)"
  const cwd = fileURLToPath(new URL('../../../', import.meta.url))
  try {
    const run = promisify(execFile)
    const env = { ...process.env, ORT_DISABLE_TELEMETRY: '1' }
    const { stdout } = await run(process.execPath, ['-e', script], { cwd, env, signal, timeout: ENGINE_MS })
    const [version, backends] = stdout.trim().split('|')
    return [ok('engine', `onnxruntime ${version} loads (${backends})`)]
  } catch (error) {
    signal.throwIfAborted()
    const line = reasonOf(error)
      .split('\n')
      .find((text) => /error/i.test(text) && !text.startsWith('Command failed'))
    return [
      fail(
        'engine',
        `onnxruntime does not load: ${line ?? reasonOf(error).slice(0, 120)}`,
        'run npm ci again; on Alpine use a glibc image',
      ),
    ]
  }
}

export const checkMemory: Check = () => {
  const text = `${formatBytes(freemem())} of ${formatBytes(totalmem())} memory free`
  const low = warn('memory', text, 'close other programs, or give weft less with --memory')
  return Promise.resolve([freemem() < MEMORY_LOW ? low : ok('memory', text)])
}

export const checkDisk: Check = async ({ home }) => {
  const folder = existing(home)
  const { bavail, bsize } = await statfs(folder)
  const free = bavail * bsize
  const text = `${formatBytes(free)} free on the disk of ${folder}`
  if (free < DISK_EMPTY) return [fail('disk', text, 'free some space, or move the home with --home')]
  if (free < DISK_LOW) return [warn('disk', text, 'models may not fit: free some space, or move the home with --home')]
  return [ok('disk', text)]
}

/** The nearest folder above that is there. */
export function existing(path: string): string {
  let folder = path
  while (!existsSync(folder) && dirname(folder) !== folder) folder = dirname(folder)
  return folder
}
