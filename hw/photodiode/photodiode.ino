// The light at the scope's tip and the photodiode on the monitor's glass, on one board with one clock. For any board that the Arduino
// environment knows, with a serial port over USB. What it says: src/pipeline/selftest/external.rs. How it is wired: README.md here.

const int LIGHT = 9;                        // a white LED with its resistor, to ground
const int DIODE = A0;                       // the photodiode's amplifier, 0 V dark
const unsigned long PATIENCE_US = 500000;   // a flash that is not seen by then is not seen
const unsigned long DARK_US = 120000;       // at least so long between two flashes; up to as much again, by chance

unsigned long number = 0;
unsigned long baseline = 0, noise = 4;

void say(const String &said) {
    byte sum = 0;
    for (unsigned int i = 0; i < said.length(); i++) sum ^= said[i];
    Serial.print(said);
    Serial.print('*');
    if (sum < 16) Serial.print('0');
    Serial.print(sum, HEX);
    Serial.print("\r\n");
}

// What the dark glass looks like, and how far it flickers: a flash has to be brighter than both.
void settle() {
    unsigned long sum = 0, most = 0, count = 0, from = micros();
    while (micros() - from < 40000) {
        unsigned long level = analogRead(DIODE);
        sum += level;
        if (level > most) most = level;
        count++;
    }
    baseline = sum / count;
    noise = most - baseline;
}

void setup() {
    Serial.begin(115200);
    pinMode(LIGHT, OUTPUT);
    digitalWrite(LIGHT, LOW);
    randomSeed(analogRead(DIODE) ^ micros());
    unsigned long count = 0, from = micros();
    while (micros() - from < 500000) {
        analogRead(DIODE);
        count++;
    }
    delay(500);
    say("K,1," + String(2 * count));
}

void loop() {
    // By chance, so that flashes do not keep step with the monitor's refreshes.
    delayMicroseconds(random(0, 16000));
    delay((DARK_US + random(0, DARK_US)) / 1000);
    settle();
    unsigned long threshold = baseline + 2 * noise + 8;
    digitalWrite(LIGHT, HIGH);
    unsigned long on = micros(), seen = 0;
    bool was_seen = false;
    while (!was_seen && micros() - on < PATIENCE_US) {
        was_seen = (unsigned long)analogRead(DIODE) > threshold;
        seen = micros() - on;
    }
    digitalWrite(LIGHT, LOW);
    say("F," + String(number) + "," + (was_seen ? String(seen) : String("-")));
    number++;
    // Until the glass is dark again.
    for (unsigned long from = micros(); (unsigned long)analogRead(DIODE) > threshold && micros() - from < PATIENCE_US;) {}
}
