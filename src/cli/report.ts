/** What a bug report holds. Prompts, answers and keys are never written to a log; they are cut out here once more. */
import { arch, cpus, freemem, platform, release, totalmem } from 'node:os'
import type { PeerStatus } from '../peer/index.ts'
import { examine } from './doctor/examine.ts'
import type { Finding } from './doctor/finding.ts'
import type { CliIo } from './io.ts'
import { lastLines } from './log-files.ts'
import { runningStatus } from './peer-access.ts'
import { loadFunction } from './rooms.ts'
import { dependencyVersion, packageVersion } from './version.ts'

const LOG_LINES = 1000
const DEPENDENCIES = [
  'libp2p',
  'onnxruntime-node',
  '@chainsafe/libp2p-noise',
  '@libp2p/tcp',
  'pino',
  'msgpackr',
] as const
/** Set by people for weft; anything else in the environment is nobody's business. */
const VARIABLES = ['WEFT_HOME', 'XDG_DATA_HOME', 'XDG_RUNTIME_DIR', 'NODE_OPTIONS', 'NO_COLOR', 'CI'] as const

export interface BugReport {
  readonly schema: 'weft.bugreport/1'
  readonly at: string
  readonly note: string | null
  readonly versions: Readonly<Record<string, string | null>>
  readonly machine: Readonly<Record<string, unknown>>
  readonly environment: Readonly<Record<string, string>>
  readonly checks: readonly Finding[]
  /** Null where no peer runs; a text where it does not answer. */
  readonly status: PeerStatus | string | null
  readonly logs: readonly unknown[]
}

export async function collectReport(
  io: CliIo,
  home: string,
  note: string | undefined,
  signal: AbortSignal,
): Promise<BugReport> {
  const checks: Finding[] = []
  for await (const finding of examine(io, home, signal)) checks.push(finding)
  const redact = await redactor()
  const logs = await lastLines(home, LOG_LINES, () => true)
  return {
    schema: 'weft.bugreport/1',
    at: new Date(io.clock.wall()).toISOString(),
    note: note ?? null,
    versions: {
      weft: packageVersion(),
      node: process.versions.node,
      ...Object.fromEntries(DEPENDENCIES.map((name) => [name, dependencyVersion(name)])),
    },
    machine: {
      platform: platform(),
      release: release(),
      arch: arch(),
      cpu: cpus()[0]?.model ?? null,
      cores: cpus().length,
      memory_total: totalmem(),
      memory_free: freemem(),
    },
    environment: Object.fromEntries(
      VARIABLES.flatMap((name) => (io.env[name] === undefined ? [] : [[name, io.env[name]]])),
    ),
    checks,
    status: await statusOrReason(io, home, signal),
    logs: logs.map((line) => (line.time === null ? redact(line.raw) : redact({ ...line, raw: undefined }))),
  }
}

/** The same rules as the log's own; without them nothing of the logs is passed on. */
async function redactor(): Promise<(value: unknown) => unknown> {
  try {
    const sanitize = await loadFunction('telemetry', 'sanitize')
    return (value) => sanitize(value)
  } catch {
    return () => '[left out: it could not be redacted]'
  }
}

async function statusOrReason(io: CliIo, home: string, signal: AbortSignal): Promise<PeerStatus | string | null> {
  try {
    return await runningStatus(io, home, signal)
  } catch (error) {
    signal.throwIfAborted()
    return error instanceof Error ? error.message : String(error)
  }
}
