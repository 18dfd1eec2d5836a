/** Where each verb's file is; loaded when it is called, and not before. */
import type { Command } from './context.ts'

interface VerbFile {
  readonly command: Command
}

export const VERBS: Readonly<Record<string, () => Promise<VerbFile>>> = {
  up: () => import('./commands/up.ts'),
  down: () => import('./commands/down.ts'),
  wait: () => import('./commands/wait.ts'),
  status: () => import('./commands/status.ts'),
  peers: () => import('./commands/peers.ts'),
  ls: () => import('./commands/ls.ts'),
  ps: () => import('./commands/ps.ts'),
  show: () => import('./commands/show.ts'),
  rm: () => import('./commands/rm.ts'),
  pin: () => import('./commands/pin.ts'),
  unpin: () => import('./commands/unpin.ts'),
  import: () => import('./commands/import.ts'),
  export: () => import('./commands/export.ts'),
  split: () => import('./commands/split.ts'),
  embed: () => import('./commands/embed.ts'),
  infer: () => import('./commands/infer.ts'),
  train: () => import('./commands/train.ts'),
  eval: () => import('./commands/eval.ts'),
  fed: () => import('./commands/fed.ts'),
  deploy: () => import('./commands/deploy.ts'),
  plan: () => import('./commands/plan.ts'),
  undeploy: () => import('./commands/undeploy.ts'),
  run: () => import('./commands/run.ts'),
  chat: () => import('./commands/chat.ts'),
  bench: () => import('./commands/bench.ts'),
  ping: () => import('./commands/ping.ts'),
  netcheck: () => import('./commands/netcheck.ts'),
  key: () => import('./commands/key.ts'),
  logs: () => import('./commands/logs.ts'),
  doctor: () => import('./commands/doctor.ts'),
  bugreport: () => import('./commands/bugreport.ts'),
  service: () => import('./commands/service.ts'),
  capabilities: () => import('./commands/capabilities.ts'),
  version: () => import('./commands/version.ts'),
  help: () => import('./commands/help.ts'),
  completion: () => import('./commands/completion.ts'),
  complete: () => import('./commands/complete.ts'),
  vectors: () => import('./commands/vectors.ts'),
}
