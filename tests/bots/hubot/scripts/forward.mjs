// What the script `hubot-stackstorm` does for people, in few lines of our own, because the original is not in the npm registry.
// With the client library of StackStorm it loads the aliases, picks the first format that fits what was typed, forwards it,
// and posts the answer and whatever is announced. `tests/bots.py --hubot-stackstorm DIR` plays the same with the original.
import st2client from 'st2client'

/** What may follow any command: `key=value`, as often as people like. */
const PAIRS = String.raw`(?:\s+\S+?=(?:"[^"]*"|'[^']*'|\{[^}]*\}|\S+))*`

/**
 * A format as the bot matches it. What stands outside of the holes is a regular expression of JavaScript, so one that only Python
 * understands keeps the bot from loading anything. Blanks beside a hole are optional, upper and lower case are the same.
 */
function expression (format) {
  const pieces = format.split(/{{(.*?)}}/)
  const pattern = pieces.map((piece, place) => {
    const isHole = place % 2 === 1
    if (isHole) return piece.includes('=') ? '(?:.+?)?' : '.+?'
    const start = place > 0 ? piece.trimStart() : piece
    return place < pieces.length - 1 ? start.trimEnd() : start
  })
  return new RegExp(`^\\s*${pattern.join('\\s*')}${PAIRS}\\s*$`, 'is')
}

function address (text) {
  const { protocol, hostname, port, pathname } = new URL(text)
  return { protocol: protocol.replace(':', ''), host: hostname, port, prefix: pathname }
}

async function connect (env) {
  const options = { ...address(env.ST2_API_URL), stream: address(env.ST2_STREAM_URL), rejectUnauthorized: false }
  const client = st2client(options)
  if (env.ST2_API_KEY) {
    client.setKey({ key: env.ST2_API_KEY })
  } else {
    const door = st2client({ auth: address(env.ST2_AUTH_URL) })
    client.setToken(await door.authenticate(env.ST2_AUTH_USERNAME, env.ST2_AUTH_PASSWORD))
  }
  return client
}

/** Formats in the order in which the server lists them. */
async function load (client, robot) {
  const formats = new Map()
  for (const alias of await client.actionAlias.list({ limit: -1 })) {
    if (alias.enabled === false) continue
    for (const format of alias.formats) {
      const shown = format.display ?? format
      for (const text of format.representation ?? [format]) {
        formats.set(text, { alias, text, expression: expression(text) })
      }
      robot.commands.push(`hubot ${shown} - ${alias.description}`)
    }
  }
  robot.logger.info(`${formats.size} commands are loaded`)
  return [...formats.values()]
}

function acknowledgement ({ actionalias, execution, message }) {
  const { enabled, append_url: append } = actionalias?.ack ?? {}
  if (enabled === false) return undefined
  const url = append === false ? undefined : execution.web_url
  return `${message || `It runs as ${execution.id}`}${url ? ` (details available at ${url})` : ''}`
}

export default async (robot) => {
  const client = await connect(process.env)
  const formats = await load(client, robot)
  const stream = await client.stream.listen()
  stream.addEventListener('st2.announcement__chatops', ({ data }) => {
    const { user, channel, message, whisper } = JSON.parse(data).payload
    robot.messageRoom(whisper && user ? user : channel, user && !whisper ? `${user}: ${message}` : message)
  })
  robot.respond(/([\s\S]+?)$/i, async (heard) => {
    const command = heard.match[1]
    const found = formats.find((format) => format.expression.test(command))
    if (!found) return
    try {
      const answer = await client.aliasExecution.create({
        name: found.alias.name,
        format: found.text,
        command,
        user: heard.message.user.name,
        source_channel: heard.message.room,
        source_context: heard.message,
        notification_route: process.env.ST2_ROUTE || 'hubot'
      })
      const text = acknowledgement(answer)
      if (text) heard.send(text)
    } catch (error) {
      robot.messageRoom(heard.message.room, `${heard.message.user.name}: that did not work: ${error.message}`)
    }
  })
}
