// A chat network made of lines, for tests: what people type comes as JSON on standard input, and what the bot says goes out as
// JSON on standard output, one object a line. Rooms are whatever people name.
import readline from 'node:readline'
import { Adapter, TextMessage } from 'hubot'

class Lines extends Adapter {
  #count = 0

  async send (envelope, ...texts) {
    for (const text of texts) {
      process.stdout.write(`${JSON.stringify({ said: { room: envelope.room, text: text.text ?? text } })}\n`)
    }
  }

  async reply (envelope, ...texts) {
    await this.send(envelope, ...texts.map((text) => `${envelope.user.name}: ${text}`))
  }

  async run () {
    const lines = readline.createInterface({ input: process.stdin })
    lines.on('line', async (line) => {
      const { user: name, room, text } = JSON.parse(line)
      const user = this.robot.brain.userForId(`U-${name}`, { name, room })
      await this.receive(new TextMessage(user, text, `m${++this.#count}`))
    })
    lines.on('close', () => process.exit(0))
    this.emit('connected')
  }

  close () {}
}

export default { use: (robot) => new Lines(robot) }
