pub struct Analysis; pub struct Release; pub struct Sight; pub struct Sighting; pub fn analyse(){}
